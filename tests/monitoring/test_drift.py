"""Evidently's report; its import takes seconds, so that few tests meet it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monitoring.config import MonitorConfig
from monitoring.drift import METHODS, compare

pytestmark = pytest.mark.slow

CONFIG = MonitorConfig()


def channels(exams: int, shift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    names = ["score", "embedding_1", "mean_intensity"]
    values = rng.standard_normal((exams, 3)) + np.array([shift, shift, 0.0])
    frame = pd.DataFrame(values, columns=names)
    recall = (rng.random(exams) < 0.2 + 0.2 * shift).astype(float)
    return frame.assign(recall=recall, missing=0.0, gone=np.nan)


@pytest.mark.parametrize(("exams", "reference"), [(0, 100), (19, 100), (100, 19)])
def test_too_few_exams_are_not_compared(exams, reference):
    verdict = compare(channels(exams), channels(reference), CONFIG)
    assert verdict.drifted is None
    assert verdict.note == (
        f"{exams} exams beside {reference} of the reference: Evidently's comparison needs 20 "
        "of each."
    )


@pytest.mark.parametrize(
    ("method", "threshold", "shift", "moved"),
    [
        ("ks", 0.05, 2.0, ("score", "recall", "embedding_1")),
        ("ks", 0.001, 0.0, ()),
        ("wasserstein", 0.4, 2.0, ("score", "embedding_1")),
    ],
)
def test_methods_and_thresholds_are_pinned(method, threshold, shift, moved):
    config = replace(CONFIG, evidently_method=method, evidently_threshold=threshold)
    verdict = compare(channels(120, shift), channels(150, seed=1), config)
    assert set(verdict.moved) == set(moved)
    assert verdict.drifted == (len(moved) >= 2)
    assert verdict.share == len(moved) / 4, "constant and empty columns are left out"


@pytest.mark.parametrize(("method", "kind"), METHODS.items())
def test_what_each_method_returns_is_read_rightly(method, kind):
    """A small p-value is drift, a small distance is none."""
    config = replace(CONFIG, evidently_method=method, evidently_threshold=0.01)
    far = compare(channels(150, 2.0)[["score"]], channels(150, seed=1)[["score"]], config)
    assert far.moved == ("score",)
    assert (far.columns["score"] < 0.01) == (kind == "p-value")


def test_the_page_needs_no_network(tmp_path):
    verdict = compare(channels(60, 1.0), channels(60, seed=1), CONFIG, tmp_path, "report")
    page = (tmp_path / verdict.page).read_text()
    assert not re.search(r"<(script|link)[^>]+(src|href)=['\"]?(https?:)?//", page)
    assert json.loads((tmp_path / "report.json").read_text())["metrics"]


def test_evidently_decides_if_it_is_told_to(hospital):
    hospital.release()
    hospital.stream(60)
    hospital.stream(40, ["Phantom Draco/D4"], shift=1.5, images=1.5)
    config = MonitorConfig(policy="evidently", streams=50, stream_exams=1000)
    report = hospital.monitor(config)
    verdict = report.drift["site-1 · Phantom Draco/D4 · 1.0"]
    assert verdict["drifted"]
    (episode,) = [one for one in report.episodes_opened if "draco" in one["key"]]
    assert (episode["cause"], episode["exams_to_alarm"]) == ("acquisition", 40)
    evidence = hospital.log.episode(episode["key"])["evidence"]
    assert evidence["policy"] == "evidently"
    assert evidence["evidently"]["method"] == "ks"
    folder = hospital.settings.reports_dir / "drift" / report.stamp
    assert (folder / verdict["page"]).stat().st_size > 1e6
