"""The exam before hangs below this one, at the same scale and in the same place."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mammo.settings import Settings
from tests.bentos.test_images import again_on
from tests.viewer.reading import VIEWS, send, settle, wait_ready

pytestmark = pytest.mark.slow


def canvases(page: Any, view: str) -> list[np.ndarray]:
    """Return what every tile of a view shows, the current exam's first."""
    coded = page.evaluate(
        """view => [...document.querySelectorAll(`.tile[data-view="${view}"] canvas`)].map(
            (one) => one.toDataURL("image/png").split(",")[1])""",
        view,
    )
    opened = (Image.open(io.BytesIO(base64.b64decode(one))) for one in coded)
    return [np.asarray(one.convert("RGB"))[..., 0] for one in opened]


def test_the_prior_hangs_like_the_exam(
    hospital: tuple[str, Settings], phantom: list[Path], open_page: Callable[..., Any]
) -> None:
    """The same pixels as two exams, years apart: both rows show the same."""
    address, files = hospital[0], [path.read_bytes() for path in phantom]
    prior = send(address, again_on(files, date(2020, 1, 1)))["exam"]
    wait_ready(open_page(f"{address}/#/exam/{prior}"))
    page = open_page(f"{address}/#/exam/{send(address, files)['exam']}")
    wait_ready(page)
    assert page.locator(".tile").count() == 4
    page.keyboard.press("c")
    page.locator(".tile[data-ready=yes]").nth(7).wait_for()
    assert "2020-01-01" in page.locator('.tile[data-view="R CC"]').nth(1).inner_text()
    for view in VIEWS:
        settle(page, view)
        now, before = canvases(page, view)
        assert now.shape == before.shape
        apart = np.abs(now.astype(int) - before.astype(int)) > 8
        assert apart.mean() < 0.02, f"{view}: {apart.mean():.1%} of the tile differs"
    page.keyboard.press("c")
    page.locator(".tile").nth(4).wait_for(state="detached")
