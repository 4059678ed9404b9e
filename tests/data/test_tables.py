"""Broken label tables: what is told of each, and what is never quoted."""

from __future__ import annotations

import gzip
import io
import time
import zipfile
from pathlib import Path

import pytest

from mammo.data.ingest import ingest
from mammo.data.sources import rsna
from mammo.data.sources.registry import list_items
from mammo.data.table_checks import read_checked
from mammo.data.tables import read_frame, read_table
from mammo.errors import SourceNotFound, TableInvalid
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

HEADER = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,"
    "density,machine_id,difficult_negative_case"
)
PATIENT, IMAGE = 70077, 900900
"""No other number of the tables holds these digits, so that a message that does quotes an id."""


def rows(count: int = 40) -> list[str]:
    """Rows of patients of two images each; line 2 is the first."""
    return [
        f"1,{PATIENT + n // 2},{IMAGE + n},{'LR'[n % 2]},CC,61.0,0,0,0,1.0,0,B,29,False"
        for n in range(count)
    ]


def change(line: int, old: str, new: str, *, count: int = 40) -> str:
    """Return a table with one cell changed in one line."""
    lines = [HEADER, *rows(count)]
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    return "\n".join(lines) + "\n"


def write(folder: Path, content: str | bytes, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path) -> list[str]:
    """Return what was left out of a table, as messages."""
    table = read_checked(path, rsna.COLUMNS, rsna.RULES)
    return [error.message for _, error in table.refused]


GOOD = "\n".join((HEADER, *rows())) + "\n"


def zipped(text: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("train.csv", text)
    return held.getvalue()


# --- what is no table, or lacks columns

NO_TABLE = {
    "empty": ("", ["is not a CSV table but an empty file (0 bytes)", "anew"]),
    "blank lines": ("\n\n \n", ["an empty file (4 bytes)"]),
    "zip": (zipped(GOOD), ["a ZIP archive or an Excel workbook: unpack it, or save it as CSV"]),
    "gzip": (gzip.compress(GOOD.encode()), ["a gzip archive: unpack it"]),
    "binary": (b"MZ\x90\0\3\0\0\0" * 50, ["a binary file"]),
    "web page": (
        "<!DOCTYPE html>\n<html><title>Sign in</title></html>",
        ["a web page", "a login or accepted terms", "sign in"],
    ),
    "JSON error of the Kaggle API": (
        '{"code":403,"message":"You must accept this competition\'s rules"}',
        ["is not a CSV table but JSON", "a request that it refuses"],
    ),
    "latin-1": (
        GOOD.replace("CC", "C\xe9", 1).encode("latin-1"),
        ["line 2 has bytes that are no text", "save it as UTF-8"],
    ),
    "renamed": (
        GOOD.replace("laterality", "lateralty"),
        ["lacks the columns laterality", "'lateralty' looks like laterality: rename it"],
    ),
    "renamed by case and blank": (
        GOOD.replace("patient_id", "Patient ID"),
        ["lacks the columns patient_id", "'Patient ID' looks like patient_id: rename it"],
    ),
    "shortened": (GOOD.replace("machine_id", "machine"), ["'machine' looks like machine_id"]),
    "two renamed": (
        GOOD.replace("view", "View").replace("age,", "Age,"),
        ["lacks the columns view, age", "'View' looks like view", "'Age' looks like age"],
    ),
    "column gone": (GOOD.replace("implant", "x"), ["lacks the columns implant;", "line 1 has"]),
    "no header": ("\n".join(rows()), ["line 1 has 14 cells", "not this table's header"]),
    "column twice": (GOOD.replace("biopsy", "cancer"), ["has the column cancer twice"]),
    "header only": (HEADER + "\n", ["has a header and no rows"]),
    "cut off within the last line": (GOOD[:-30], ["cut off within line 41", "may be lost"]),
    "a comma too many": (
        change(7, "CC", "C,C"), ["line 7 (15)", "14 columns", "a comma within a cell needs quotes"],
    ),
    "lines short": (
        GOOD.replace(",29,False", "", 2), ["line 2 (12), line 3 (12)", "its 14 columns"],
    ),
    "quote never closed": (change(9, "CC", '"CC'), ["is not a CSV table from line 9 on"]),
    "image twice": (
        change(9, str(IMAGE + 7), str(IMAGE)), ["lines 2, 9: the same image_id", "nothing was"],
    ),
    "images twice": (
        change(9, str(IMAGE + 7), str(IMAGE)).replace(str(IMAGE + 1), str(IMAGE + 2), 1),
        ["2 faults concern the whole", "lines 2, 9:", "lines 3, 4:"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("content, told", NO_TABLE.values(), ids=NO_TABLE)
def test_table_that_stops_the_set_is_named(
    content: str | bytes, told: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(TableInvalid) as caught:
        read(path)
    assert (caught.value.code, caught.value.http_status) == ("TABLE_INVALID", 422)
    message = caught.value.message
    assert message.startswith("train.csv ")
    assert [text for text in told if text not in message] == []
    assert "7007" not in message and "9009" not in message and len(message) < 900


def test_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"train\.csv is not in"):
        read(tmp_path / "train.csv")


# --- what is a table all the same

SAME_TABLE = {
    "byte order mark": GOOD.encode("utf-8-sig"),
    "UTF-16 of a spreadsheet": GOOD.replace(",", "\t").encode("utf-16"),
    "Windows line ends": GOOD.replace("\n", "\r\n").encode(),
    "old Macintosh line ends": GOOD.replace("\n", "\r").encode(),
    "semicolons": GOOD.replace(",", ";").encode(),
    "tabs": GOOD.replace(",", "\t").encode(),
    "quotes": ("\n".join('"' + line.replace(",", '","') + '"' for line in GOOD.split("\n")[:-1])
               + "\n").encode(),
    "blanks around cells": GOOD.replace(",", " , ").encode(),
    "no last line end": GOOD.rstrip().encode(),
    "other order of columns": "\n".join(
        ",".join(reversed(line.split(","))) for line in GOOD.split("\n")[:-1]
    ).encode(),
    "empty columns of a spreadsheet": GOOD.replace("\n", ",,\n").encode(),
    "blank last lines": (GOOD + "\n\n").encode(),
}  # fmt: skip


@pytest.mark.parametrize("content", SAME_TABLE.values(), ids=SAME_TABLE)
def test_table_written_otherwise_reads_the_same(content: bytes, tmp_path: Path) -> None:
    table = read_checked(write(tmp_path, content), rsna.COLUMNS, rsna.RULES)
    plain = read_frame(write(tmp_path, GOOD, "plain.csv"), rsna.COLUMNS)
    assert table.refused == ()
    assert table.rows[list(plain.columns)].equals(plain)
    assert list(table.rows.index) == list(range(2, 42))


def test_lines_are_those_of_an_editor(tmp_path: Path) -> None:
    lines = [HEADER, "", *rows(30)]
    lines[10] = lines[10].replace("CC", '"CC\n"')  # a line end within quotes: two lines
    lines[20] = lines[20].replace("61.0", "400")
    text = "\n".join(lines) + "\n"
    line = text[: text.index("400")].count("\n") + 1
    assert [told.split(" was")[0] for told in read(write(tmp_path, text))] == [f"line {line}"]


# --- rows that are left out

LEFT_OUT = {
    "age of 400": ("61.0", "400.0", "age is '400.0', allowed is 0 to 120 or nothing"),
    "age below zero": ("61.0", "-3", "age is '-3', allowed is 0 to 120"),
    "age in words": ("61.0", "n/a", "age is 'n/a'"),
    "age not a number": ("61.0", "nan", "age is 'nan'"),
    "age with a decimal comma": ("61.0", '"61,0"', "age is '61,0'"),
    "small side": (",R,", ",r,", "laterality is 'r', allowed is L, R or nothing"),
    "side in words": (",R,", ",right,", "laterality is 'right', allowed is L, R"),
    "view": ("CC", "C", "view is 'C', allowed is CC, MLO, ML"),
    "density": (",B,", ",E,", "density is 'E', allowed is A, B, C, D or nothing"),
    "density of another set": (",B,", ",2,", "density is '2', allowed is A, B, C, D"),
    "cancer": ("61.0,0,", "61.0,2,", "cancer is '2', allowed is 0 or 1"),
    "cancer in words": ("61.0,0,", "61.0,no,", "cancer is 'no', allowed is 0 or 1"),
    "BI-RADS": (",1.0,", ",7,", "BIRADS is '7', allowed is whole numbers from 0 to 6"),
    "BI-RADS of half": (",1.0,", ",1.5,", "BIRADS is '1.5', allowed is whole numbers"),
    "implant": ("1.0,0,B", "1.0,,B", ""),
    "value cut off": ("False", "Fal", "difficult_negative_case is 'Fal', allowed is 0 or 1"),
    "id of a spreadsheet": (
        str(IMAGE + 9), "9.00909E+05", "image_id is a number with a point of 11 characters",
    ),
    "id empty": (str(PATIENT + 4), "", "patient_id is empty, allowed is digits alone"),
    "id that leaves the folder": (
        str(PATIENT + 4), "../../etc", "patient_id is a text of 9 characters, allowed is digits",
    ),
    "two cells": ("CC,61.0", "CX,400", "view is 'CX', allowed is "),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_row_that_cannot_be_right_is_left_out(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    path = write(tmp_path, change(11, old, new))
    table = read_checked(path, rsna.COLUMNS, rsna.RULES)
    if not told:
        assert (len(table.rows), table.refused) == (40, ())
        return
    ((place, error),) = table.refused
    assert (place, error.code, len(table.rows)) == (path, "ROW_INVALID", 39)
    assert error.message.startswith("line 11 was left out: ")
    assert told in error.message
    assert error.message.endswith(
        "correct it and ingest again, or take the table anew from its source"
    )
    assert "7007" not in error.message and "9009" not in error.message
    assert 11 not in table.rows.index


def test_all_cells_of_a_row_are_told(tmp_path: Path) -> None:
    (message,) = read(write(tmp_path, change(11, "CC,61.0,0", "CX,400,x")))
    assert ("view is 'CX'" in message, "age is '400'" in message, "cancer is 'x'" in message) == (
        True, True, True,
    )  # fmt: skip


def test_breast_that_contradicts_itself_is_left_out(tmp_path: Path) -> None:
    both = change(2, f"{IMAGE},L,CC,61.0,0", f"{IMAGE},L,CC,61.0,1")
    both += f"1,{PATIENT},1,L,MLO,61.0,0,0,0,1.0,0,B,29,False\n"
    told = read(write(tmp_path, both))
    assert [message.split(" was")[0] for message in told] == ["line 2", "line 42"]
    assert all("cancer of one breast is 1, 0 (lines 2, 42)" in message for message in told)


def test_cell_that_cannot_be_right_contradicts_nobody(tmp_path: Path) -> None:
    table = change(2, f"{IMAGE},L,CC,61.0,0,0,0,1.0,0,B", f"{IMAGE},L,CC,61.0,0,0,0,1.0,0,E")
    table += f"1,{PATIENT},1,L,MLO,61.0,0,0,0,1.0,0,B,29,False\n"  # the same breast
    told = read(write(tmp_path, table))
    assert [message.split(",")[0] for message in told] == ["line 2 was left out: density is 'E'"]


@pytest.mark.parametrize(
    ("count", "bad", "stops"), [(40, 2, False), (40, 3, True), (2, 1, False), (12, 1, False)]
)
def test_more_than_a_twentieth_of_bad_rows_stops_the_set(
    count: int, bad: int, stops: bool, tmp_path: Path
) -> None:
    path = write(tmp_path, "\n".join((HEADER, *rows(count))).replace("61.0", "161", bad) + "\n")
    if not stops:
        assert len(read(path)) == bad
        return
    with pytest.raises(TableInvalid, match=f"{bad} of {count} rows cannot be right, at most 5%"):
        read(path)


def test_message_names_twenty_rows_and_counts_the_others(tmp_path: Path) -> None:
    with pytest.raises(TableInvalid) as caught:
        read(write(tmp_path, GOOD.replace("61.0", "400")))
    message = caught.value.message
    assert [f"line {line}: age is '400'" in message for line in (2, 21, 22)] == [True, True, False]
    assert "; and 20 more. Way out: correct these rows" in message


# --- in a set


def test_set_goes_on_without_a_bad_row(rsna_set: Path) -> None:
    table = rsna_set / "train.csv"
    lines = table.read_text().splitlines()
    lines[3] = lines[3].replace(",L,", ",l,")
    table.write_text("\n".join(lines) + "\n")
    listing = list_items("rsna", rsna_set)
    ((place, error),) = listing.refused
    assert (len(listing.items), listing.missing, listing.unlisted) == (11, (), ())
    assert (place.name, error.code) == ("train.csv", "ROW_INVALID")
    assert "line 4 was left out: laterality is 'l', allowed is L, R or nothing" in error.message


def test_image_without_a_row_is_told_and_not_read(rsna_set: Path) -> None:
    images = rsna_set / "train_images"
    (images / "1/77.dcm").write_bytes((images / "1/1010.dcm").read_bytes())
    (images / "99").mkdir()
    (images / "99/1020.dcm").write_bytes(b"of another patient, by the name of one in the table")
    (images / "1/notes.txt").touch()
    (images / "1/.hidden.dcm").touch()
    listing = list_items("rsna", rsna_set)
    assert (len(listing.items), listing.unlisted) == (12, ("77.dcm", "1020.dcm"))


def test_ingest_reports_the_row_and_takes_it_once_mended(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    table = rsna_set / "train.csv"
    good = table.read_text()
    table.write_text(good.replace("51.0", "400", 1))
    image = rsna_set / "train_images/1/1010.dcm"
    image.with_name("77.dcm").write_bytes(image.read_bytes())
    report = ingest("rsna", rsna_set, settings, config, processes=0)
    assert report.unlisted == ["77.dcm"]
    told = [(one.file, one.code, one.message.split(",")[0]) for one in report.quarantined]
    assert (report.found, report.added) == (11, 11)
    assert told == [("train.csv", "ROW_INVALID", "line 2 was left out: age is '400'")]
    table.write_text(good)
    mended = ingest("rsna", rsna_set, settings, config, processes=0)
    assert (mended.added, mended.known, mended.quarantined) == (1, 11, [])


def test_table_that_stops_the_set_leaves_nothing_on_disk(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    table = rsna_set / "train.csv"
    table.write_text(table.read_text().replace("laterality", "side"))
    with pytest.raises(TableInvalid, match="lacks the columns laterality"):
        ingest("rsna", rsna_set, settings, config, processes=0)
    assert not settings.home.exists()


def test_set_of_which_no_row_is_left_says_why(tmp_path: Path) -> None:
    write(tmp_path, change(2, "61.0", "400", count=1))
    with pytest.raises(SourceNotFound, match=r"1 rows were left out: line 2 .*age is '400'"):
        list_items("rsna", tmp_path)


# --- real tables


def test_real_rsna_table_has_no_bad_row_and_reads_quickly(shared: Path) -> None:
    start = time.process_time()
    table = read_checked(shared / "rsna/train.csv", rsna.COLUMNS, rsna.RULES)
    assert time.process_time() - start < 10
    assert (len(table.rows), table.refused, table.rows.index[-1]) == (54_706, (), 54_707)


@pytest.mark.slow
def test_table_as_dictionaries_is_as_pandas_reads_it(shared: Path) -> None:
    import pandas as pd

    path = shared / "rsna/train.csv"
    expected = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert read_table(path, rsna.COLUMNS) == expected.to_dict("records")


@pytest.mark.parametrize("fault", [("laterality", "l"), ("age", "400"), ("density", "E")])
def test_real_table_with_one_bad_cell(fault: tuple[str, str], shared: Path, tmp_path: Path) -> None:
    lines = (shared / "rsna/train.csv").read_text().splitlines()[:3000]
    cells = lines[1234].split(",")
    cells[lines[0].split(",").index(fault[0])] = fault[1]
    lines[1234] = ",".join(cells)
    (message,) = read(write(tmp_path, "\n".join(lines) + "\n"))
    assert message.startswith(f"line 1235 was left out: {fault[0]} is {fault[1]!r}, allowed is ")
    assert cells[1] not in message and cells[2] not in message
