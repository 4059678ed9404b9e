"""What `mammo ingest` says of rows without a file, files without a row, and of what it took."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from mammo.dicom.phantom import write_phantoms


@pytest.mark.slow
def test_rows_and_files_that_do_not_match_are_told_by_line_never_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    folder = tmp_path / "set"
    write_phantoms(folder, exams=1, scanner="aurora", seed=1)
    image = next((folder / "train_images").rglob("*.dcm"))
    image.rename(image.with_name("DOE^JANE.dcm"))
    words = ["ingest", "--source", "rsna", str(folder), "--config", "smoke", "--json"]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert (report["added"], report["missing"], report["unlisted"]) == (3, 1, 1)
    (line,) = report["missing_in"]
    assert re.fullmatch(r"line [2-5] of train\.csv", line)
    assert "DOE" not in answer.output and image.name not in answer.stdout
