"""A release that answers NaN never comes into service; nor one whose own golden is NaN."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mammo.errors import ParityError
from mammo.release import Release
from mammo.screening import Screener
from tests.bentos.releases import write_release


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release whose network answers NaN, sealed as if nothing were wrong."""
    return write_release(tmp_path_factory.mktemp("releases"), "r-nan", bias=float("nan"))


def state_golden(directory: Path, **fields: float) -> None:
    golden = dict(np.load(directory / "golden.npz"))
    golden |= {name: np.float32(value) for name, value in fields.items()}
    np.savez_compressed(directory / "golden.npz", **golden)
    replace(Release.read(directory), files={}, digest="").seal(directory)


@pytest.mark.parametrize("stated", [0.5, float("nan"), float("inf")])
def test_network_that_answers_nan(broken: Path, stated: float) -> None:
    state_golden(broken, logit=stated)
    with pytest.raises(ParityError, match="scores nan here"):
        Screener.load(broken)


@pytest.mark.parametrize(
    "fields", [{"logit": float("nan")}, {"tolerance": float("nan")}, {"logit": float("-inf")}]
)
def test_golden_that_states_none(tmp_path: Path, fields: dict[str, float]) -> None:
    directory = write_release(tmp_path, "r-1")
    Screener.load(directory)
    state_golden(directory, **fields)
    with pytest.raises(ParityError, match="the golden image scores 0"):
        Screener.load(directory)
