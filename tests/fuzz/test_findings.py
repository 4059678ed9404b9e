"""What the fuzzing found stays found; and the fuzzing itself finds what it should."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mammo.errors import NotDicom, ReadError
from mammo.killable import KillablePool, Limits

from . import oracle
from .cases import check_bytes, make_case, run_batch
from .fuzz_reader import minimise
from .oracle import Finding, check_file
from .seeds import STREAMS, make_encapsulated, read_seeds

FINDINGS = sorted((Path(__file__).parent / "findings").iterdir())
SECONDS = 4.0


@pytest.fixture(scope="module")
def pool() -> Iterator[KillablePool]:
    with KillablePool(1, Limits(SECONDS, 1536)) as pool:
        yield pool


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of writing the broken seeds


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.name)
@pytest.mark.parametrize("number", [0, len(STREAMS) * 3], ids=["whole", "half resolution"])
def test_findings_stay_mended(pool: KillablePool, path: Path, number: int) -> None:
    name = path.name.partition(".")[2]  # a codestream's is its syntax
    target = "files" if name == "dcm" else "streams"
    data = path.read_bytes()
    assert len(data) <= 2048
    assert pool.submit(check_bytes, target, name, data, number).result()


@pytest.mark.parametrize("target", ["files", "streams"])
def test_cases_are_the_same_again_and_nothing_is_wrong_with_them(
    pool: KillablePool, target: str
) -> None:
    outcomes, wrong = pool.submit(run_batch, target, 0, 250).result()
    assert not wrong
    assert len(outcomes) > 15
    assert any(outcome.startswith("READ") for outcome in outcomes)
    assert make_case(target, 77) == make_case(target, 77) != make_case(target, 78)


@pytest.mark.parametrize("syntax", STREAMS)
def test_seeds_are_sound(syntax: str) -> None:
    assert check_file(make_encapsulated(syntax)).startswith("READ")


def test_seeds_are_many() -> None:
    assert len(read_seeds()) > 50


def _tell_name(*_: object, **__: object) -> None:
    raise NotDicom("the file of Secret^Name is damaged")


def _without_code(*_: object, **__: object) -> None:
    raise ReadError("something")


def _be_slow(*_: object, **__: object) -> None:
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    raise NotDicom("late")


@pytest.mark.parametrize(
    ("reader", "text"),
    [(_tell_name, "the secret Secret"), (_without_code, "without a code"), (_be_slow, r"0\.. s")],
)
def test_the_oracle_finds(
    monkeypatch: pytest.MonkeyPatch, reader: Callable[..., None], text: str
) -> None:
    monkeypatch.setattr(oracle, "read_mammogram", reader)
    monkeypatch.setattr(oracle, "SECONDS", 0.02)
    with pytest.raises(Finding, match=text):
        check_file(b"any")


def test_findings_are_made_small() -> None:
    assert minimise(bytes(500) + b"bad" + bytes(300), lambda data: b"bad" in data) == b"bad"
