"""How far two sources agree: intervals with a width, and who is never looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.appraisal import agreement as measured
from mammo.appraisal.agreement import JudgedBreast, measure_release, summarise_agreement
from mammo.errors import SourceInvalid, TooFewLabels
from mammo.evaluation.bootstrap import Interval
from mammo.findings import Agreement
from mammo.settings import Settings


def breast(patient: str, places: int, hits: int, share: float = 1.0, top: bool = True) -> Any:
    """Return a breast with cancer whose places all are named by both."""
    told = Agreement("L", places, 0, 0, share, top)
    names = ("heat alone", "detector alone")
    return JudgedBreast(
        patient, True, told, {"both": places} | dict.fromkeys(names, 0),
        {"both": hits} | dict.fromkeys(names, 0),
    )  # fmt: skip


def measure(*breasts: JudgedBreast) -> dict[str, Any]:
    return summarise_agreement(breasts)["with"]


@pytest.mark.parametrize(("hits", "top", "share"), [(1, True, 1.0), (0, False, 0.0)])
def test_three_of_three_is_not_certain(hits: int, top: bool, share: float) -> None:
    found = measure(*(breast(one, 1, hits, share, top) for one in "abc"))
    edge = 0.025 ** (1 / 3)  # Clopper and Pearson's bound of 3 of 3
    wanted = (edge, 1.0) if hits else (0.0, 1 - edge)
    for one in (found["share"], found["top"], found["hits"]["both"]):
        assert (one.value, one.n_patients) == (share, 3)
        assert (one.low, one.high) == pytest.approx(wanted)


def test_a_mean_number_that_never_varies_has_a_width() -> None:
    found = measure(*(breast(one, 2, 1) for one in "abc"))["places"]
    both, none = found["both"], found["detector alone"]
    assert both.low < both.value == 2.0 < both.high
    assert (both.low, both.high) == pytest.approx((2.2019 / 3, 13.0595 / 3), abs=1e-4)  # of 6
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(3.6889 / 3, abs=1e-4)  # of none


def test_places_of_one_woman_are_not_many_women() -> None:
    one = measure(breast("a", 30, 30), breast("b", 1, 1))["hits"]["both"]
    many = measure(*(breast(str(i), 1, 1) for i in range(31)))["hits"]["both"]
    assert one.value == many.value == 1.0 and one.low < 0.2 < 0.8 < many.low


def test_what_nobody_named_has_no_share() -> None:
    assert measure(breast("a", 1, 1), breast("b", 2, 1))["hits"]["heat alone"] is None


def test_the_interval_covers_what_is_true() -> None:
    """The true share of hits is 0.9: a nominal 95% holds it in nine of ten sets and more."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(60):
        found: Interval = measure(*(breast(str(i), 2, rng.binomial(2, 0.9)) for i in range(12)))[
            "hits"
        ]["both"]
        held += found.low <= 0.9 <= found.high
    assert held >= 54


def test_the_golden_set_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    with pytest.raises(SourceInvalid, match="sealed: only `mammo gate` looks"):
        measure_release(settings, tmp_path, part="golden")
    with pytest.raises(SourceInvalid, match="part is 'train'; allowed is holdout"):
        measure_release(settings, tmp_path, part="train")


def test_who_is_golden_to_the_release_in_service_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, served = tmp_path / "own", tmp_path / "served"
    for folder, part in ((own, "holdout"), (served, "golden")):
        folder.mkdir()
        pd.DataFrame({"patient_id": ["a", "b"], "part": [part, part]}).to_parquet(
            folder / "patients.parquet"
        )
    rows = pd.DataFrame({"patient_id": ["a", "b"], "cancer": [1.0, 0.0]})

    class Loaded:
        detector = object()
        release = type("Release", (), {"id": "r-1", "target": "cancer"})

    judged: list[set[str]] = []

    def judge(screener: Any, some: pd.DataFrame, *more: Any) -> list[JudgedBreast]:
        judged.append(set(some["patient_id"]))
        return [breast("a", 1, 1)]

    monkeypatch.setattr(measured.Screener, "load", lambda directory: Loaded)
    monkeypatch.setattr(measured, "labelled_index", lambda settings: rows)
    monkeypatch.setattr(measured, "judge_breasts", judge)
    settings = Settings(home=tmp_path, _env_file=None)
    monkeypatch.setattr(measured, "in_service", lambda settings: None)
    measure_release(settings, own)
    assert judged == [{"a", "b"}]
    monkeypatch.setattr(measured, "in_service", lambda settings: served)
    with pytest.raises(TooFewLabels, match="no labelled exam"):
        measure_release(settings, own)
