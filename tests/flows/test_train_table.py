"""What `mammo train` prints for a person: a row for each part, not one long dictionary."""

from __future__ import annotations

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
