"""Tables of outcomes: what is read, what is refused by line, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli import app
from mammo.audit import AuditLog
from mammo.data.index import write_index
from mammo.data.outcome_table import read_outcomes, write_outcomes
from mammo.errors import SourceNotFound, TableInvalid
from mammo.exam import Laterality, Outcome
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.prediction_log.rows import exam_row

EXAM, OTHER = "E-0123456789abcdef", "E-fedcba9876543210"
HEADER = "exam,laterality,cancer,known_at,source\n"
DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty home, which the command finds too."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    return Settings(home=tmp_path / "home", _env_file=None)  # type: ignore[call-arg]


def invoke(*words: object) -> tuple[int, dict[str, Any]]:
    line = ["data", "outcomes", *map(str, words), "--json"]
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, line)
    return result.exit_code, json.loads(result.stdout or result.stderr)


def score(settings: Settings, *exams: str) -> PredictionLog:
    """Log a prediction of each exam."""
    log = PredictionLog(settings.log_url).create()
    for exam in exams:
        log.append_exam([exam_row(exam)])
    return log


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (f"{EXAM},L,1,2026-03-01,p", Outcome(EXAM, True, DAY, "p", Laterality.LEFT)),
        (f"{EXAM},,0,2026-03-01T00:00:00Z,p", Outcome(EXAM, False, DAY, "p", None)),
        (
            f"{EXAM},R,True,2026-03-01T01:00+01:00,p",
            Outcome(EXAM, True, DAY, "p", Laterality.RIGHT),
        ),
    ],
)
def test_rows(tmp_path: Path, row: str, outcome: Outcome) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text(HEADER + row + "\n")
    assert read_outcomes(path) == [outcome]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    rows = {"exam": [EXAM, OTHER], "laterality": ["L", None], "cancer": [True, False]}
    pd.DataFrame(rows | {"known_at": [DAY, DAY], "source": "pathology"}).to_parquet(path)
    assert read_outcomes(path) == [
        Outcome(EXAM, True, DAY, "pathology", Laterality.LEFT),
        Outcome(OTHER, False, DAY, "pathology", None),
    ]


def test_misnamed_side_of_parquet(tmp_path: Path) -> None:
    rows = {"exam": [EXAM], "side": ["R"], "cancer": [False], "known_at": [DAY], "source": ["p"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "outcomes.parquet")
    with pytest.raises(TableInvalid, match="the column side,"):
        read_outcomes(tmp_path / "outcomes.parquet")


@pytest.mark.parametrize(
    ("column", "cells", "told"),
    [
        ("known_at", [DAY, pd.NaT], r"line 2 \(known_at\)"),
        ("known_at", [1772323200, 1772323201], r"line 1 \(known_at\), line 2 \(known_at\)"),
        ("known_at", [["2026-03-01"], ["2026-03-02"]], "known_at holds lists"),
        ("laterality", [["L"], ["R"]], "laterality holds lists"),
        ("exam", [EXAM, None], r"line 2 \(exam\)"),
        ("cancer", [True, None], r"line 2 \(cancer\)"),
    ],
)
def test_cells_of_parquet_that_cannot_be_right(
    settings: Settings, tmp_path: Path, column: str, cells: list[Any], told: str
) -> None:
    rows = {"exam": [EXAM, OTHER], "laterality": ["L", None], "cancer": [True, False]}
    rows |= {"known_at": [DAY, DAY], "source": ["told by PLANTED^NAME"] * 2, column: cells}
    pd.DataFrame(rows).to_parquet(tmp_path / "outcomes.parquet")
    with pytest.raises(TableInvalid, match=told):
        read_outcomes(tmp_path / "outcomes.parquet")
    status, problem = invoke(tmp_path / "outcomes.parquet")
    assert (status, problem["code"]) == (2, "TABLE_INVALID")
    assert EXAM not in str(problem) and "PLANTED" not in str(problem)
    assert not settings.logs_dir.exists()


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (f"{EXAM},L,maybe,2026-03-01,p", r"line 2 \(cancer\)"),
        (f"{EXAM},L,,2026-03-01,p", r"line 2 \(cancer\)"),
        (f"{EXAM},both,1,2026-03-01,p", r"line 2 \(laterality\)"),
        (f"{EXAM},L,1,1772323200,p", r"line 2 \(known_at\)"),
        (f"{EXAM},L,1,-100,p", r"line 2 \(known_at\)"),
        (f"{EXAM},L,1,-1234567890,p", r"line 2 \(known_at\)"),
        (f"{EXAM},L,1,9999-12-31,p", r"line 2 \(known_at\)"),
        (f"{EXAM},L,1,9999-12-31T23:59:59-12:00,p", r"line 2 \(known_at\)"),
        (f"{EXAM},L,1,0001-01-01,p", r"line 2 \(known_at\)"),
        (f"{EXAM},L,1,2062-03-01,p", r"line 2 \(known_at\)"),
        (f"{EXAM},L,1,2026-03-01,", r"line 2 \(source\)"),
        (f"{EXAM},L,1,2026-03-01,p\n,L,1,2026-03-01,p", r"1 of 2 .* line 3 \(exam\)"),
        (f"{EXAM},L,1,2026-03-01,p\n{EXAM},L,0,2026-03-01,q", r"1 of 2 rows say no .*: line 3\."),
        (f"{EXAM},,0,2026-03-01,p\n{EXAM},R,1,2026-03-01T00:00Z,p", r"no cancer .*: line 2\."),
        ("", "no rows"),
    ],
)
def test_what_cannot_be_right(tmp_path: Path, rows: str, told: str) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text(HEADER + rows + "\n")
    with pytest.raises(TableInvalid, match=told) as caught:
        read_outcomes(path)
    assert EXAM not in str(caught.value) and "maybe" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"exam,cancer\nE,1\n", "known_at"),
        ("a.parquet", b"no parquet", "no Parquet file"),
        ("a.csv", b"exam,side,cancer,known_at,source\nE,R,0,2026-03-01,p\n", "the column side,"),
        ("a.csv", b"exam,Laterality,cancer,known_at,source\nE,R,0,2026-03-01,p\n", "Laterality,"),
        ("a.csv", b"exam,cancer,known_at,source,note\nE,0,2026-03-01,p,n\n", "the column note,"),
    ],
)
def test_what_is_no_such_table(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableInvalid, match=told):
        read_outcomes(tmp_path / name)
    with pytest.raises(SourceNotFound):
        read_outcomes(tmp_path / f"no{name}")


def test_taken_in_and_written_again(settings: Settings, tmp_path: Path) -> None:
    path, to = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text(f"{HEADER}{EXAM},L,1,2026-03-01,pathology\n{OTHER},,0,2026-04-01,registry\n")
    score(settings, EXAM)
    assert invoke(path) == (0, {"received": 2, "new": 2, "repeated": 0, "exams_unknown": 1})
    assert invoke(path)[1]["repeated"] == 2
    noted = [one["exam"] for one in AuditLog(settings.audit_path).entries()]
    assert noted == [EXAM, OTHER] * 2
    score(settings, OTHER)
    assert invoke("--to", to, "--all")[1]["written"] == 2
    known = {(one.exam_id, one.laterality, one.cancer) for one in read_outcomes(to)}
    assert known == {(EXAM, Laterality.LEFT, True), (OTHER, None, False)}
    assert invoke(to) == (0, {"received": 2, "new": 0, "repeated": 2, "exams_unknown": 0})
    to.write_text(to.read_text().replace("2026-03-01", "2026-03-02"))
    assert (invoke(to)[1]["new"], invoke(to)[1]["new"]) == (1, 0), "another day is another word"


@pytest.mark.parametrize(
    "rows",
    [
        f"{EXAM},R,0,2026-03-01,p\n{EXAM},L,1,2026-03-01,p\n",  # the other breast
        f"{EXAM},L,0,2026-03-01,p\n{EXAM},L,1,2026-03-02,p\n",  # a later word
        f"{EXAM},L,0,2026-03-01,p\n{EXAM},,1,2026-03-01,p\n",  # cancer, and not there
        f"{EXAM},L,0,2026-03-01,p\n{OTHER},L,1,2026-03-01,p\n",  # another exam
        f"{EXAM},L,1,2026-03-01,p\n{EXAM},L,1,2026-03-01,q\n",  # the same, twice
    ],
)
def test_no_contradictions(tmp_path: Path, rows: str) -> None:
    (tmp_path / "in.csv").write_text(HEADER + rows)
    assert len(read_outcomes(tmp_path / "in.csv")) == 2


def test_a_contradiction_in_the_log_is_not_handed_on(settings: Settings, tmp_path: Path) -> None:
    log = score(settings, EXAM)
    left = [Outcome(EXAM, cancer, DAY, "p", Laterality.LEFT) for cancer in (False, True)]
    log.add_outcomes([*left, Outcome(EXAM, False, DAY, "q", None)])
    assert write_outcomes(tmp_path / "out.csv", log.outcomes()) == 1
    assert [one.cancer for one in read_outcomes(tmp_path / "out.csv")] == [True]


@pytest.mark.parametrize(
    ("known", "exams", "code"),
    [
        ([], [EXAM, OTHER], "SOURCE_INVALID"),
        ([], ["ACC-Mueller-Anna-1970"], "SOURCE_INVALID"),
        ([EXAM], [EXAM, "ACC-Mueller-Anna-1970"], "TABLE_INVALID"),
    ],
)
def test_exams_of_which_nothing_is_known(
    settings: Settings, tmp_path: Path, known: list[str], exams: list[str], code: str
) -> None:
    log = score(settings, *known)
    rows = "".join(f"{exam},L,1,2026-03-01,pathology\n" for exam in exams)
    (tmp_path / "in.csv").write_text(HEADER + rows)
    status, problem = invoke(tmp_path / "in.csv")
    assert (status, problem["code"]) == (2, code) and "Mueller" not in str(problem)
    assert log.outcomes().empty and not settings.audit_path.exists()


def test_exams_not_known_yet_are_warned_of(settings: Settings, tmp_path: Path) -> None:
    score(settings, EXAM)
    rows = "".join(f"{exam},L,1,2026-03-01,pathology\n" for exam in (EXAM, OTHER))
    (tmp_path / "in.csv").write_text(HEADER + rows)
    words = ["data", "outcomes", str(tmp_path / "in.csv"), "--json"]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    assert json.loads(result.stdout)["exams_unknown"] == 1
    assert result.stderr == ("warning: exams of 1 outcomes are not scored or taken in yet; kept\n")


def test_an_exam_of_the_index_is_known(
    settings: Settings, tmp_path: Path, make_index: Callable[..., pd.DataFrame]
) -> None:
    settings.index_path.parent.mkdir(parents=True)
    write_index(make_index([{"exam_id": EXAM}]), settings.index_path)
    (tmp_path / "in.csv").write_text(f"{HEADER}{EXAM},L,1,2026-03-01,pathology\n")
    assert invoke(tmp_path / "in.csv")[1]["exams_unknown"] == 0


def test_what_callers_wrote_is_not_handed_on(settings: Settings, tmp_path: Path) -> None:
    log = PredictionLog(settings.log_url).create()
    log.add_outcomes(
        [
            Outcome(EXAM, True, DAY, "told by PLANTED^NAME", Laterality.LEFT),
            Outcome("PLANTED^NAME", True, DAY, "pathology", None),
        ]
    )
    assert write_outcomes(tmp_path / "out.csv", log.outcomes()) == 1
    assert "PLANTED" not in (tmp_path / "out.csv").read_text()


def test_one_of_table_and_to(tmp_path: Path) -> None:
    for words in (
        [],
        ["a.csv", "--to", "b.csv"],
        ["--to", "b.csv"],
        ["--to", "b.csv", "--exams", "folder", "--all"],
        ["a.csv", "--all"],
    ):
        result = CliRunner().invoke(app, ["data", "outcomes", *words])
        assert (result.exit_code, result.stdout) == (2, "")
