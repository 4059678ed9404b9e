"""The heat map of a scoring, drawn over the prepared images: no file is decoded again.

A prepared image is laid back to where it was cut from, so that the picture is in
the original's frame, like that of `mammo explain`; what was cut off is black.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammo import INTENDED_USE
from mammo.errors import ResultUnknown
from mammo.exam import Finding
from mammo.findings import tell_sources
from mammo.heat_map import HeatMap
from mammo.heat_picture import HeatRow, draw_heat
from mammo.kept_result import KeptResult, KeptView
from mammo.picture import HEIGHT


def draw_result(result: KeptResult) -> bytes:
    """Draw all views of a scoring in one scale, with the findings as boxes; returns a PNG.

    Raises
    ------
    ResultUnknown
        The release does not tell its heat.
    """
    heats = [view.heat for view in result.views]
    rows = [
        _row(result, view, heat)
        for view, heat in zip(result.views, heats, strict=True)
        if heat is not None
    ]
    if not rows:
        raise ResultUnknown(
            f"Release {result.answer['release']} does not tell where its scores come from; "
            "there is no heat map. Export it again to have one."
        )
    return draw_heat(rows)


def lay_back(view: KeptView) -> NDArray[np.uint8]:
    """Return the prepared pixels in the frame of the original, (`HEIGHT`, width) uint8."""
    place = view.geometry
    scale = HEIGHT / place.rows
    shown = np.zeros((HEIGHT, max(1, round(place.columns * scale))), np.uint8)
    bottom = place.pad_y + max(1, round((place.y1 - place.y0) * place.scale))
    right = place.pad_x + max(1, round((place.x1 - place.x0) * place.scale))
    up, down = place.pad_y // view.shrink, -(-bottom // view.shrink)
    cut = view.pixels[up:down, place.pad_x // view.shrink : -(-right // view.shrink)]
    top, left = round(place.y0 * scale), round(place.x0 * scale)
    target = shown[top : round(place.y1 * scale), left : round(place.x1 * scale)]
    smaller = target.shape[0] < cut.shape[0]
    target[:] = cv2.resize(
        cut,
        target.shape[::-1],
        interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR,
    )
    return shown


def _row(result: KeptResult, view: KeptView, heat: HeatMap) -> HeatRow:
    answer, facts = result.answer, view.facts
    boxes = [
        Finding(
            one["x_min"], one["y_min"], one["x_max"], one["y_max"],
            tell_sources(one), one.get("share") or 0.0,
        )
        for one in facts["findings"]
    ]  # fmt: skip
    lines = [
        f"exam {result.exam_id}, image {facts['image_id']}",
        f"release {answer['release']}, {answer['scored_at']}",
        f"logit {facts['logit']:.2f}; this view alone: {facts['probability']:.1%}",
        f"exam: {answer['score']:.1%}{_scale(answer.get('scale'))}, {answer['decision']}",
    ]
    if answer.get("abstention"):
        lines.append(f"not to be relied on: {', '.join(answer['abstention'])}")
    lines.append(INTENDED_USE)
    marked = any("sources" in one for one in facts["findings"])
    named = "boxes of heat and detector" if marked else "boxes around the heat"
    return HeatRow(lay_back(view), heat, heat.places(), boxes, view.name, lines, boxes=named)


def _scale(value: int | None) -> str:
    return "" if value is None else f", {value} of 10"
