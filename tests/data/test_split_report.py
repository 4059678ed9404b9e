from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from flows.cli_split import add_split_commands
from mammo.data.index import write_index

MakeIndex = Callable[..., pd.DataFrame]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `mammo data split` with these arguments; status, stdout and stderr."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    app, data = typer.Typer(), typer.Typer()
    app.callback()(lambda: None)
    data.callback()(lambda: None)
    add_split_commands(app, data)
    app.add_typer(data, name="data")

    def run(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, ["data", "split", *arguments])
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def index_path(make_index: MakeIndex, tmp_path: Path) -> Path:
    index = make_index(
        [
            {"patient_id": f"P-{n // 2:016x}", "exam_id": f"E-{n // 2:016x}", "cancer": n // 2 % 2,
             "scanner": f"Maker/{n // 2 % 3}", "laterality": "LR"[n % 2],
             "acquired_on": date(2024, 1 + n // 8, 1)}
            for n in range(60)
        ]
    )  # fmt: skip
    write_index(index, tmp_path / "index.parquet")
    return tmp_path / "index.parquet"


@pytest.mark.parametrize(
    ("by", "columns", "rows", "title"),
    [
        ("folds", ["patient_id", "part"], 30, "Folds: how evenly"),
        ("machine", ["patient_id", "machine", "images"], 30, "One machine left out"),
        ("period", ["patient_id", "part"], 30, "Periods: new patients"),
    ],
)
def test_each_way_shows_and_writes(
    by: str,
    columns: list[str],
    rows: int,
    title: str,
    command: Callable[..., tuple[int, str, str]],
    index_path: Path,
    tmp_path: Path,
) -> None:
    out, plot, page = (tmp_path / name for name in ("split.parquet", "split.png", "split.md"))
    status, told, _ = command(
        str(index_path), "--by", by, "--folds", "3", "--out", str(out), "--plot", str(plot),
        "--markdown", str(page),
    )  # fmt: skip
    assert status == 0, told
    assert title in told
    assert "othing stands in two parts" in told
    written = pd.read_parquet(out)
    assert (list(written.columns), len(written)) == (columns, rows)
    with Image.open(plot) as picture:
        assert min(picture.size) > 200
    assert page.read_text().startswith(f"## {title}")
    assert command(str(index_path), "--by", by, "--folds", "3", "--out", str(out))[0] == 0
    assert pd.read_parquet(out).equals(written)


@pytest.mark.parametrize("by", ["folds", "machine"])
def test_a_machine_of_any_name_is_shown_drawn_and_listed(
    by: str, make_index: MakeIndex, command: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    named = (r"ACME $\x_$", "A|B[/b] <b>", "Maker")
    rows = [
        {"patient_id": f"P-{n:016x}", "cancer": n % 2, "scanner": named[n // 2 % 3]}
        for n in range(60)
    ]
    index, picture, page = (tmp_path / name for name in ("i.parquet", "split.png", "split.md"))
    write_index(make_index(rows), index)
    status, told, refused = command(
        str(index), "--by", by, "--plot", str(picture), "--markdown", str(page)
    )
    assert status == 0, refused
    with Image.open(picture) as image:
        assert min(image.size) > 200
    text = page.read_text()
    assert "[/b]" in told and "<b>" not in text
    rows_of_cells = [line.replace("\\|", "") for line in text.splitlines() if line[:1] == "|"]
    assert len({line.count("|") for line in rows_of_cells}) == 1


def test_json_has_the_table_and_the_check(
    command: Callable[..., tuple[int, str, str]], index_path: Path
) -> None:
    status, told, _ = command(str(index_path), "--folds", "3", "--json")
    report = json.loads(told)
    assert status == 0
    assert (report["passed"], report["patients"], report["by"]) == (True, 30, "folds")
    assert {row["attribute"] for row in report["table"]} >= {"outcome", "machine", "age"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--folds", "20"], "TOO_FEW_LABELS"),
        (["--source", "no-such-set"], "SOURCE_INVALID"),
        (["--by", "period", "--boundary", "2024-01-01", "--boundary", "2024-01-01"],
         "SOURCE_INVALID"),
    ],
)  # fmt: skip
def test_refusals_have_a_code_and_write_nothing(
    arguments: list[str],
    code: str,
    command: Callable[..., tuple[int, str, str]],
    index_path: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "split.parquet"
    status, _, told = command(str(index_path), *arguments, "--out", str(out))
    assert (status, told.split(":")[0]) == (2, f"error {code}")
    assert not out.exists()


def test_leaking_index_is_refused_and_nothing_written(
    command: Callable[..., tuple[int, str, str]], index_path: Path, tmp_path: Path
) -> None:
    index = pd.read_parquet(index_path)
    index["phash"] = "f" * 64  # every woman has the same picture
    write_index(index, index_path)
    status, _, told = command(str(index_path), "--folds", "3", "--out", str(tmp_path / "s.parquet"))
    assert status == 2
    assert told.startswith("error PATIENT_LEAK: 1 image stands in more than one part under diff")
    assert not (tmp_path / "s.parquet").exists()
