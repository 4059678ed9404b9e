"""The pieces of `benchmarks.model_table`, on a case of seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import model_table
from benchmarks.model_table import Study, exam_auc, make_phantoms, run
from benchmarks.model_table_page import write_page

TINY = Study(
    exams=8,
    draws=48,
    height=64,
    width=32,
    latency_height=64,
    latency_width=32,
    turns=2,
    # oneDNN 3.12 reads memory that nobody wrote in bfloat16 convolutions of 4 x 2 maps
    precision="32",
)


def test_exam_auc_averages_views_and_takes_the_worse_breast() -> None:
    index = pd.DataFrame(
        {
            "patient_id": list("aaaabbbb"),
            "exam_id": list("aaaabbbb"),
            "laterality": list("LLRRLLRR"),
            "cancer": pd.array([1, 1, 0, 0, 0, 0, 0, 0], dtype="Int8"),
        }
    )
    # the breast of the cancer has mean 1.0; the largest mean of the other exam is 0.9,
    # although its largest view is 3
    found = exam_auc(index, pd.Series([2.0, 0.0, -5, -5, 3.0, -1.2, 0.0, 0.0]).to_numpy())
    assert (found.value, found.n_patients, found.n_positive) == (1.0, 2, 1)


@pytest.mark.slow
def test_the_table_is_made_and_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, page = tmp_path / "results.json", tmp_path / "models.md"
    page.write_text("# Models\n<!-- written: model table -->\n<!-- end: model table -->\nBelow\n")
    found = run(["small_cnn"], TINY, results, page, tmp_path)
    halves = make_phantoms(tmp_path, TINY)  # they are kept
    assert not set(halves.train["patient_id"]) & set(halves.test["patient_id"])
    assert len(halves.train) + len(halves.test) == 4 * TINY.exams
    assert json.loads(results.read_text()) == found
    (row,) = found["models"]
    assert row["weights"] == "random" and row["epochs"] == round(48 / (8 * 4 / 2))
    assert 0 <= row["auc"]["low"] <= row["auc"]["value"] <= row["auc"]["high"] <= 1
    assert row["auc"]["n_patients"] == 4 and row["onnx_mib"] > 0.5 and row["latency_ms"] > 0
    text = page.read_text()
    assert "| `small_cnn` | random |" in text and "4 patients" in text and "Below" in text

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(model_table, "make_phantoms", never)
    assert run(["small_cnn"], TINY, results, page, tmp_path) == found
    with pytest.raises(AssertionError, match="measured again"):
        run(["small_cnn"], replace(TINY, draws=64), results, page, tmp_path)


def test_a_page_without_its_marks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models.md").write_text("# Models\n")
    row = {
        "name": "m", "weights": "random", "parameters": 1, "auc_trained_on": 0.5, "onnx_mib": 1.0,
        "auc": {"value": 0.5, "low": 0.4, "high": 0.6, "n_patients": 2, "n_positive": 1},
        "latency_ms": 1.0, "fit_cpu_s": 1.0, "epochs": 4, "study": Study().__dict__,
        "run": {"commit": "c", "date": "d", "machine": "m"},
    }  # fmt: skip
    with pytest.raises(ValueError, match="0 pairs"):
        write_page(tmp_path / "models.md", [row])
