"""What `mammo train` prints for a person: a row for each part, not one long dictionary."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli_model import _by_part


def _figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n_patients": 9}


@pytest.mark.parametrize(
    ("metrics", "rows"),
    [
        (
            {"golden_auc": _figure(0.8), "golden_sensitivity": _figure(0.5), "golden_ece": 0.1},
            [
                {
                    "part": "golden",
                    "auc": "0.80 (0.70 to 0.90)",
                    "sensitivity": "0.50 (0.40 to 0.60)",
                }
            ],
        ),
        # a part without both classes has no AUC to tell
        ({"golden_auc": None, "patients": {"train": 3}}, []),
        ({}, []),
    ],
)
def test_parts_are_rows(metrics: dict[str, object], rows: list[dict[str, str]]) -> None:
    assert _by_part(metrics) == rows


TRAINING = """
import logging
import mammo.continual.fit as fit
from flows.cli import app
from mammo.errors import TooFewLabels
from mammo.models.tracking import mlflow_client

def train_release(settings, **_):
    mlflow_client(settings).search_experiments()  # makes the database, of which MLflow tells
    logging.getLogger("mlflow.store").warning("the disk is slow")
    raise TooFewLabels("one exam")

fit.train_release = train_release
app(["train"])
"""


@pytest.mark.slow
def test_of_mlflow_one_reads_warnings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    monkeypatch.setenv("MAMMO_MLFLOW_PORT", "9")
    monkeypatch.delenv("MLFLOW_LOGGING_LEVEL", raising=False)
    run = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True)
    warning, error = run.stderr.splitlines()
    assert warning.endswith("WARNING mlflow.store: the disk is slow")
    assert (error, run.stdout) == ("error TOO_FEW_LABELS: one exam", "")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "INFO")
    (tmp_path / "mlflow").rename(tmp_path / "before")
    asked = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True)
    assert "INFO mlflow.store" in asked.stderr
