"""Contact sheet of what a detector hit, missed and marked falsely."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from benchmarks.detectors_report import Measured
from mammo.detection.boxes import Boxes, boxes_of, to_prepared
from mammo.detection.froc import score_shown
from mammo.detection.matching import (
    CENTRE,
    ImageDetections,
    match_image,
    match_images,
    second_marks,
)
from mammo.geometry import Geometry

FALSE_MARKS = 0.5
"""Per image, at the threshold of the pictures."""
EACH = 4
GROUPS = ("hit", "missed", "false mark")
LOOKS = {
    "reader's box, hit": ("deepskyblue", "-"),
    "reader's box, missed": ("red", ":"),
    "mark that hits": ("lime", "-"),
    "second mark": ("yellow", ":"),
    "false mark": ("orange", "--"),
}


def contact_sheet(path: Path, measured: Measured) -> None:
    """Write a row of images for each of hit, missed, falsely marked; the first ones by id."""
    least = score_shown(match_images(measured.found, CENTRE), FALSE_MARKS)
    shown = [_above(one, least) for one in measured.found]
    figure = Figure(figsize=(2.1 * EACH, 9.6))
    axes = figure.subplots(len(GROUPS), EACH, squeeze=False)
    for group, row in zip(GROUPS, axes, strict=True):
        chosen = [one for one in shown if group in kinds(one)][:EACH]
        for place, ax in enumerate(row):
            ax.axis("off")
            if place < len(chosen):
                _draw(ax, chosen[place], measured)
                ax.set_title(group if place == 0 else "", fontsize=9)
    lines = [Line2D([], [], color=c, linestyle=s, lw=2) for c, s in LOOKS.values()]
    figure.legend(lines, list(LOOKS), loc="lower center", ncols=2, fontsize=8, facecolor="gray")
    figure.suptitle(
        f"{measured.detector} on {measured.kind}: marks from {least:.2f}, "
        f"{FALSE_MARKS:g} false an image",
        fontsize=10,
    )
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=90)


def kinds(image: ImageDetections) -> set[str]:
    """Return which of `GROUPS` an image belongs to."""
    taken = match_image(image, CENTRE)
    hits = {place for place in taken if place is not None}
    again = second_marks(image, CENTRE)
    false = any(one is None and not two for one, two in zip(taken, again, strict=True))
    told = {"hit": bool(hits), "missed": len(hits) < len(image.truth), "false mark": false}
    return {group for group, holds in told.items() if holds}


def _above(image: ImageDetections, least: float) -> ImageDetections:
    found = tuple(one for one in image.found if one.score >= least)
    return ImageDetections(image.image_id, image.patient_id, image.truth, found)


def _draw(ax: Axes, image: ImageDetections, measured: Measured) -> None:
    place = int(np.flatnonzero(measured.rows["image_id"].astype(str) == image.image_id)[0])
    pixels = measured.images[place]
    geometry = Geometry.from_dict(json.loads(str(measured.rows["geometry"].iloc[place])))
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=np.iinfo(np.uint16).max)
    taken = match_image(image, CENTRE)
    truth = to_prepared(boxes_of(image.truth), geometry, *pixels.shape)
    found = to_prepared(boxes_of(image.found), geometry, *pixels.shape)
    for number, box in enumerate(truth):
        # a pixel out, so that a mark on the very same place does not hide it
        box = box + np.array([-1, -1, 1, 1])
        _box(ax, box, "reader's box, hit" if number in taken else "reader's box, missed")
    for box, hit, again in zip(found, taken, second_marks(image, CENTRE), strict=True):
        marks = "mark that hits" if hit is not None else "second mark" if again else "false mark"
        _box(ax, box, marks)


def _box(ax: Axes, box: Boxes, kind: str) -> None:
    color, style = LOOKS[kind]
    corner, sides = (box[0], box[1]), box[2:] - box[:2]
    ax.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=color, linestyle=style, lw=1.2))
