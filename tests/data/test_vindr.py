"""VinDr-Mammo in its published layout, written anew: names and columns are the set's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mammo.data.index import INDEX_SCHEMA
from mammo.data.ingest import ingest
from mammo.data.listing import ReadOptions
from mammo.data.sources import vindr, vindr_tables
from mammo.data.sources.registry import list_items
from mammo.data.sources.tabulate import tabulate
from mammo.dicom.deidentify import pseudonym
from mammo.errors import RowInvalid, SourceNotFound, TableInvalid
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # as in the set itself
KEY = b"k" * 32
OPTIONS = ReadOptions(KEY, "elsewhere")
STUDIES = ("b8d273e8601f348d3664778dae0e7e0b", "8269f5971eaca3e5d3772d1796e6bd7a")
VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
BREASTS, FINDINGS, METADATA = (
    "breast-level_annotations.csv", "finding_annotations.csv", "metadata.csv",
)  # fmt: skip
BLANK = dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), "")


def image_of(study: str, side: str, view: str) -> str:
    return f"{study[:30]}{'LR'.index(side)}{('CC', 'MLO').index(view)}"


@pytest.fixture
def vindr_set(tmp_path: Path, make_dicom: Callable[..., Path]) -> Path:
    """Two studies: the left breast of the first has BI-RADS 4 with findings, other breasts 1 to 3.

    Columns are those of the set, in its order; headers are as de-identified as its files are.
    """
    folder = tmp_path / "vindr"
    breasts, findings, metadata = [], [], []
    for number, study in enumerate(STUDIES):
        for side, view in VIEWS:
            image = image_of(study, side, view)
            make_dicom(
                folder / f"images/{study}/{image}.dicom", 4 * number + VIEWS.index((side, view)),
                SOPInstanceUID=image, StudyInstanceUID=study, PatientID=None, PatientName=None,
                PatientAge=None, AcquisitionDate=None, ImageLaterality=side, ViewPosition=view,
                Manufacturer="SIEMENS", ManufacturerModelName="Mammomat Inspiration",
            )  # fmt: skip
            birads = 4 - 3 * (side == "R") - number
            row = {
                "study_id": study, "series_id": f"{study[:31]}f", "image_id": image,
                "laterality": side, "view_position": view, "height": 160, "width": 120,
                "breast_birads": f"BI-RADS {max(birads, 1)}", "breast_density": "DENSITY C",
            }  # fmt: skip
            split = {"split": ("training", "test")[number]}
            breasts.append(row | split)
            found = {"finding_categories": "['No Finding']", "finding_birads": ""} | BLANK
            findings.append(row | found | split)
            metadata.append(
                {"SOP Instance UID": image, "Series Instance UID": row["series_id"],
                 "Patient's Age": ("053Y", "")[number], "Image Laterality": side,
                 "View Position": view, "Manufacturer": "SIEMENS",
                 "Manufacturer's Model Name": "Mammomat Inspiration", "Rows": 160, "Columns": 120}
            )  # fmt: skip
    box = {"xmin": 10.5, "ymin": 20.25, "xmax": 40.0, "ymax": 60.0}
    findings[0] |= {"finding_categories": "['Mass']", "finding_birads": "BI-RADS 4"} | box
    second = {"finding_categories": "['Suspicious Calcification', 'Focal Asymmetry']"}
    findings.insert(1, findings[0] | second | {"finding_birads": "BI-RADS 3", "xmax": 123.4})
    pd.DataFrame(breasts).to_csv(folder / BREASTS, index=False)
    pd.DataFrame(findings).to_csv(folder / FINDINGS, index=False)
    pd.DataFrame(metadata).to_csv(folder / METADATA, index=False)
    return folder


def edit(folder: Path, table: str, line: int, **cells: object) -> None:
    """Change cells of one line of a table."""
    frame = pd.read_csv(folder / table, dtype=str, keep_default_na=False)
    for column, text in cells.items():
        frame.loc[line - 2, column] = str(text)
    frame.to_csv(folder / table, index=False)


def test_labels_and_boxes_of_the_tables(vindr_set: Path) -> None:
    listing = list_items("vindr", vindr_set)
    assert (len(listing.items), listing.missing, listing.refused, listing.unlisted) == (
        8, (), (), (),
    )  # fmt: skip
    first, right, second = (listing.items[n].labels for n in (0, 2, 4))
    assert (first.birads, first.abnormal, first.cancer, first.density) == (4, True, None, "C")
    assert [(f.kind, f.birads, f.malignant) for f in first.findings] == [
        ("mass", 4, None), ("suspicious calcification+focal asymmetry", 3, None),
    ]  # fmt: skip
    corners = [(f.x_min, f.y_min, f.x_max, f.y_max) for f in first.findings]
    assert corners == [(10.5, 20.25, 40.0, 60.0), (10.5, 20.25, 120.0, 60.0)]  # clipped to 120
    assert (right.birads, right.abnormal, right.findings) == (1, False, ())
    assert (second.birads, second.abnormal, second.published_split) == (3, False, "test")


def test_file_is_read_with_its_study_as_patient(vindr_set: Path) -> None:
    items = list_items("vindr", vindr_set).items
    reading = vindr.read_vindr(items[1], OPTIONS)
    found = reading.mammogram
    assert (found.patient_id, found.exam_id) == (
        pseudonym(KEY, "patient", STUDIES[0]), pseudonym(KEY, "exam", STUDIES[0]),
    )  # fmt: skip
    assert (str(found.view), found.site, found.age_years) == ("L MLO", "vindr", 53)
    assert (found.scanner.key, found.acquired_on) == ("SIEMENS/Mammomat Inspiration", None)
    assert reading.labels.known_at is None
    assert STUDIES[0] not in json.dumps(reading.header)
    assert vindr.read_vindr(items[4], OPTIONS).mammogram.age_years is None


def test_tables_alone_give_the_rows_that_reading_gives(
    vindr_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    from mammo.data.index import read_index

    report = ingest("vindr", vindr_set, settings, config, processes=0)
    assert (report.added, report.quarantined) == (8, [])
    read = read_index(settings.index_path).set_index("image_id")
    told = tabulate("vindr", vindr_set, settings.pseudonym_key()).set_index("image_id")
    told = told.loc[read.index]
    assert (told["shard_row"] == -1).all()
    known = [name for name in told if told[name].notna().all() and name not in (
        "sha256", "shard", "shard_row", "software_version", "quality",
    )]  # fmt: skip
    assert {"exam_id", "patient_id", "rows", "columns", "abnormal", "findings"} <= set(known)
    for name in known:
        assert read[name].tolist() == told[name].tolist(), name
    assert read["age_years"].equals(told["age_years"])
    assert told["age_years"].isna().sum() == 4


@pytest.mark.parametrize(
    ("table", "line", "cells", "told", "lost"),
    [
        (FINDINGS, 2, {"xmin": 400, "xmax": 500}, "400, 20.25 to 500, 60 has no area within", 1),
        (FINDINGS, 2, {"xmin": 41}, "41, 20.25 to 40, 60 has no area", 1),
        (FINDINGS, 2, {"xmax": ""}, "its categories and its 3 of 4 corners contradict", 1),
        (FINDINGS, 5, {"xmin": 1, "ymin": 1, "xmax": 9, "ymax": 9}, "its 4 of 4 corners contr", 1),
        (FINDINGS, 2, {"ymin": "x"}, "ymin is 'x', allowed is -50000 to 50000 or nothing", 1),
        (FINDINGS, 2, {"finding_birads": "4"}, "allowed is BI-RADS 0, BI-RADS 1", 1),
        (FINDINGS, 2, {"finding_categories": "Mass"}, "allowed is a list such as ['Mass']", 1),
        (FINDINGS, 2, {"finding_categories": "__import__('os')"}, "allowed is a list such as", 1),
        (FINDINGS, 5, {"image_id": "f" * 32}, f"no row of {BREASTS} has its image", 0),
        (BREASTS, 6, {"laterality": "l"}, "laterality is 'l', allowed is L, R or nothing", 1),
        (BREASTS, 6, {"breast_density": "C"}, "breast_density is 'C', allowed is DENSITY A", 1),
        (BREASTS, 6, {"height": 0}, "height is '0', allowed is whole numbers from 1", 1),
        (BREASTS, 6, {"split": ""}, "split is empty, allowed is training, test", 1),
        (METADATA, 2, {"Patient's Age": "400Y"}, "Patient's Age is '400Y', allowed is 0 to 120", 1),
    ],
)  # fmt: skip
def test_row_that_cannot_be_right_leaves_its_image_out(
    table: str, line: int, cells: dict[str, object], told: str, lost: int, vindr_set: Path
) -> None:
    edit(vindr_set, table, line, **cells)
    listing = list_items("vindr", vindr_set)
    ((place, error),) = listing.refused
    assert (place.name, error.code, len(listing.items)) == (table, "ROW_INVALID", 8 - lost)
    assert error.message.startswith(f"line {line} was left out") and told in error.message
    assert not any(text[:12] in error.message for text in STUDIES)
    assert (listing.unlisted, listing.missing) == ((), ())


def test_study_in_two_parts_stops_the_set(vindr_set: Path) -> None:
    edit(vindr_set, BREASTS, 3, split="test")
    with pytest.raises(
        TableInvalid, match="lines 2, 3, 4, 5: split of one study is training, test"
    ):
        list_items("vindr", vindr_set)


@pytest.mark.parametrize(
    ("column", "cell"), [("breast_birads", "BI-RADS 5"), ("breast_density", "DENSITY A")]
)
def test_label_in_which_the_images_of_a_breast_disagree_is_unknown(
    column: str, cell: str, vindr_set: Path
) -> None:
    edit(vindr_set, BREASTS, 2, **{column: cell})
    listing = list_items("vindr", vindr_set)
    (remark,) = listing.remarks
    assert remark.startswith(f"lines 2, 3 of {BREASTS}: {column} of one breast is {cell}, ")
    assert (len(listing.items), listing.refused) == (8, ())
    told = [
        (one.labels.birads, one.labels.abnormal, one.labels.density) for one in listing.items[:3]
    ]
    unknown = (None, None, "C") if column == "breast_birads" else (4, True, None)
    assert told == [unknown, unknown, (1, False, "C")]
    assert len(listing.items[0].labels.findings) == 2  # boxes are of the image


def test_image_without_a_row_of_findings_is_told(vindr_set: Path) -> None:
    lines = (vindr_set / FINDINGS).read_text().splitlines(keepends=True)
    (vindr_set / FINDINGS).write_text("".join(lines[:-2]))
    listing = list_items("vindr", vindr_set)
    (remark,) = listing.remarks
    assert remark.startswith(f"2 images, the first of line 8 of {BREASTS}, have no row in")
    assert len(listing.items) == 8


def test_file_of_another_size_than_the_table_says(vindr_set: Path) -> None:
    for line in (2, 3):
        edit(vindr_set, BREASTS, line, height=3518, width=2800)
    with_boxes, without = list_items("vindr", vindr_set).items[:2]
    with pytest.raises(RowInvalid, match="160 x 120 pixels and the table says 3518 x 2800"):
        vindr.read_vindr(with_boxes, OPTIONS)
    assert "SIZE_CONFLICT" in vindr.read_vindr(without, OPTIONS).mammogram.quality


def test_image_without_a_row_and_row_without_an_image(vindr_set: Path) -> None:
    path = next((vindr_set / f"images/{STUDIES[0]}").iterdir())
    path.rename(path.with_name("0123.dicom"))
    listing = list_items("vindr", vindr_set)
    (missing,) = listing.missing
    assert missing.startswith(f"{path.name} (line ") and missing.endswith(f" of {BREASTS})")
    assert listing.unlisted == ("0123.dicom",)


def test_metadata_may_be_absent_and_findings_may_not(vindr_set: Path) -> None:
    (vindr_set / METADATA).unlink()
    items = list_items("vindr", vindr_set).items
    assert vindr.read_vindr(items[0], OPTIONS).mammogram.age_years is None
    (vindr_set / FINDINGS).unlink()
    with pytest.raises(SourceNotFound, match=r"finding_annotations\.csv is not in"):
        list_items("vindr", vindr_set)


@pytest.mark.parametrize(
    ("text", "years"), [("053Y", 53), ("53", 53), ("53.0", 53), ("100Y", 100), ("006M", None),
                        ("", None), ("Y", None), ("5x", None)],
)  # fmt: skip
def test_age_as_the_metadata_writes_it(text: str, years: int | None) -> None:
    assert vindr_tables.age_of(text) == years


@pytest.mark.parametrize(
    ("text", "categories"),
    [
        ("['Mass']", ("Mass",)),
        ("['Mass', 'Skin Thickening']", ("Mass", "Skin Thickening")),
        ("[]", ()), ("Mass", ()), ("'Mass'", ()), ("[1]", ()), ("['']", ()), ("[" * 5000, ()),
    ],
)  # fmt: skip
def test_categories_are_parsed_and_never_run(text: str, categories: tuple[str, ...]) -> None:
    assert vindr_tables.categories_of(text) == categories


def test_table_of_vindr_has_the_columns_of_the_index(vindr_set: Path) -> None:
    frame = tabulate("vindr", vindr_set / BREASTS, KEY)
    assert list(frame.columns) == INDEX_SCHEMA.names
    assert frame["cancer"].isna().all()
    assert frame["patient_id"].nunique() == 2
