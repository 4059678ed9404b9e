"""Boxes and masks as boxes: how many, how large, and which cannot be right."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mammo.explore.counts import POSITIVE_WORDS, main_target, one_row
from mammo.explore.plots import BLUE, bar_plot, new_figure, to_plot
from mammo.explore.section import ExploreContext, Plot, Section, Table
from mammo.explore.sentences import capital, count, listed, number, percent

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

TINY_PIXELS, TINY_MM = 4.0, 1.0
"""Shortest side below which a box marks no lesion that a reader could outline."""
HUGE_SHARE = 0.5
"""Share of the image above which a box says little more than "in this image"."""
SAME_IOU = 0.8
"""Intersection over union from which two boxes of one image are taken for one lesion."""
BOXED = "findings IS NOT NULL AND findings NOT IN ('', '[]')"


@dataclass
class Boxes:
    """What was counted over all findings; sizes are of the box's longer side."""

    images: int = 0
    total: int = 0
    unreadable: int = 0
    outside: int = 0
    empty: int = 0
    tiny: int = 0
    huge: int = 0
    twice: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    per_image: Counter[int] = field(default_factory=Counter)
    sizes_mm: list[float] = field(default_factory=list)
    sizes_px: list[float] = field(default_factory=list)
    on_negative: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, fault: str, image: str) -> None:
        """Keep the first images of a fault, by pseudonym."""
        known = self.examples.setdefault(fault, [])
        if len(known) < 3 and image not in known:
            known.append(image)


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the quality of the annotations; None where no image has a box."""
    target = main_target(query) or "NULL::TINYINT"
    boxes = read_boxes(query, target)
    if not boxes.images:
        return None
    sentences = [_amount(boxes), *_coverage(query, target, boxes), *_sizes(boxes), *_faults(boxes)]
    return Section(
        "annotations", "Annotation quality", tuple(sentences), _plots(boxes), _tables(boxes),
        tuple(_warnings(query, target, boxes)),
    )  # fmt: skip


def read_boxes(query: IndexQuery, target: str) -> Boxes:
    """Count over the findings of all images, a batch of rows at a time."""
    boxes = Boxes()
    sql = (
        f"SELECT image_id, findings, rows, columns, spacing_mm, {target} AS label FROM exams "
        f"WHERE {BOXED}"
    )
    for batch in query.batches(sql):
        for row in batch.to_pylist():
            _add(boxes, row)
    return boxes


def _add(boxes: Boxes, row: dict[str, Any]) -> None:
    image = str(row["image_id"])
    boxes.images += 1
    try:
        found = json.loads(row["findings"])
        corners = [
            tuple(float(one[key]) for key in ("x_min", "y_min", "x_max", "y_max")) for one in found
        ]
    except (ValueError, TypeError, KeyError):
        boxes.unreadable += 1
        boxes.note("unreadable", image)
        return
    boxes.per_image[len(found)] += 1
    boxes.total += len(found)
    boxes.on_negative += row["label"] == 0
    boxes.kinds.update(str(one.get("kind") or "not stated") for one in found)
    for corner in corners:
        _judge(boxes, corner, row, image)
    if any(
        _iou(a, b) >= SAME_IOU for i, a in enumerate(corners) for b in corners[:i]
    ):  # fmt: skip
        boxes.twice += 1
        boxes.note("twice", image)


def _judge(boxes: Boxes, corner: tuple[float, ...], row: dict[str, Any], image: str) -> None:
    x_min, y_min, x_max, y_max = corner
    width, height = x_max - x_min, y_max - y_min
    if not (width > 0 and height > 0):
        boxes.empty += 1
        boxes.note("empty", image)
        return
    rows, columns, spacing = row["rows"], row["columns"], row["spacing_mm"]
    boxes.sizes_px.append(max(width, height))
    if spacing:
        boxes.sizes_mm.append(max(width, height) * spacing)
    short = min(width, height)
    if short < TINY_PIXELS or (spacing and short * spacing < TINY_MM):
        boxes.tiny += 1
        boxes.note("tiny", image)
    if x_min < 0 or y_min < 0 or (columns and x_max > columns) or (rows and y_max > rows):
        boxes.outside += 1
        boxes.note("outside", image)
    if rows and columns and width * height > HUGE_SHARE * rows * columns:
        boxes.huge += 1
        boxes.note("huge", image)


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    whole = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - inner
    return inner / whole if whole > 0 else 0.0


def _amount(boxes: Boxes) -> str:
    several = sum(n for size, n in boxes.per_image.items() if size > 1)
    text = f"{capital(count(boxes.total, 'box', 'boxes'))} mark{'s' if boxes.total == 1 else ''} "
    text += f"findings in {count(boxes.images, 'image')}"
    if several:
        text += f"; {number(several)} of these hold more than one, up to {max(boxes.per_image)}"
    return text + "."


def _coverage(query: IndexQuery, target: str, boxes: Boxes) -> list[str]:
    """Return positives without a place and negatives with one."""
    row = _covered(query, target)
    out = []
    if row["positives"]:
        bare, n = int(row["bare"]), int(row["positives"])
        what = POSITIVE_WORDS.get(target, target)
        text = (
            f"{capital(count(bare, 'image'))} of {number(n)} with {what} {_have(bare)} no box"
            if bare else f"Every image with {what} has a box ({number(n)})"
        )  # fmt: skip
        if bare:
            text += (
                ": a detector must not take them for empty images; use them for image labels only"
            )
        out.append(text + ".")
    if row["abnormal_bare"] and target != "abnormal":
        n = int(row["abnormal_bare"])
        out.append(
            f"{capital(count(n, 'image'))} called abnormal {_have(n)} no box: the finding is "
            "there, its place was not written down (or is too diffuse to box)."
        )  # fmt: skip
    if boxes.on_negative:
        out.append(
            f"{capital(count(boxes.on_negative, 'image'))} without {_bare(target)} carry boxes: "
            "benign or other findings; keep the kinds apart, or a detector learns to "
            "call them cancer."
            if target == "cancer" else
            f"{capital(count(boxes.on_negative, 'image'))} called normal carry boxes, a "
            "contradiction: look at them."
        )  # fmt: skip
    return out


def _covered(query: IndexQuery, target: str) -> Any:
    return one_row(
        query,
        f"SELECT count(*) FILTER ({target} = 1) AS positives, "
        f"count(*) FILTER ({target} = 1 AND NOT coalesce({BOXED}, false)) AS bare, "
        f"count(*) FILTER (abnormal = 1 AND NOT coalesce({BOXED}, false)) AS abnormal_bare "
        "FROM exams",
    )


def _sizes(boxes: Boxes) -> list[str]:
    sizes, unit = (boxes.sizes_mm, "mm") if boxes.sizes_mm else (boxes.sizes_px, "pixels")
    if not sizes:
        return []
    low, middle, high = np.percentile(sizes, [5, 50, 95])
    text = (
        f"The longer side of a box is {middle:.0f} {unit} in the median; nine in ten lie between "
        f"{low:.0f} and {high:.0f} {unit}"
        if len(sizes) >= 20 else
        f"The longer side of a box is between {min(sizes):.0f} and {max(sizes):.0f} {unit}"
    )  # fmt: skip
    lacking = len(boxes.sizes_px) - len(boxes.sizes_mm)
    if unit == "pixels":
        return [text + " (no spacing is stated, so millimetres are unknown)."]
    return [text + (f"; {number(lacking)} boxes have no spacing." if lacking else ".")]


FAULTS = {
    "unreadable": "image whose findings cannot be read|images whose findings cannot be read",
    "outside": "box beyond the edge of its image|boxes beyond the edge of their image",
    "empty": "box without an area|boxes without an area",
    "tiny": f"box under {TINY_MM:.0f} mm or {TINY_PIXELS:.0f} pixels|"
    f"boxes under {TINY_MM:.0f} mm or {TINY_PIXELS:.0f} pixels",
    "huge": "box over half of its image|boxes over half of their image",
    "twice": "image with one lesion boxed twice (IoU 0.8 or more)|"
    "images with one lesion boxed twice (IoU 0.8 or more)",
}
TODO = {
    "unreadable": "ingest them again",
    "outside": "a sign of swapped axes, a flipped origin or another resolution: look at them "
    "before clipping",
    "empty": "leave them out",
    "tiny": "points rather than outlines: give them a margin",
    "huge": "they say little about the place: look at them, or leave them out of a detector's "
    "training",
    "twice": "two readers or a repeated row: merge them, or a detector is trained twice on one",
}


def _faults(boxes: Boxes) -> list[str]:
    out, clean = [], []
    for fault, words in FAULTS.items():
        n = int(getattr(boxes, fault))
        one, many = words.split("|")
        if n:
            out.append(f"{capital(count(n, one, many))}: {TODO[fault]}.")
        else:
            clean.append(many)
    if clean:
        out.append(f"Looked for and not found: {listed(clean, 10)}.")
    return out


def _warnings(query: IndexQuery, target: str, boxes: Boxes) -> list[str]:
    out = []
    for fault in ("outside", "unreadable"):
        n = int(getattr(boxes, fault))
        if n:
            one, many = FAULTS[fault].split("|")
            out.append(f"{capital(count(n, one, many))}: {TODO[fault]}.")
    row = _covered(query, target)
    if row["positives"] and row["bare"] / row["positives"] > 0.2:
        what = POSITIVE_WORDS.get(target, target)
        out.append(
            f"{percent(row['bare'] / row['positives'])} of images with {what} have no box: this "
            "set cannot measure a detector's misses."
        )  # fmt: skip
    return out


def _plots(boxes: Boxes) -> tuple[Plot, ...]:
    out = []
    sizes, unit = (boxes.sizes_mm, "mm") if boxes.sizes_mm else (boxes.sizes_px, "pixels")
    if len(sizes) >= 10:
        figure, (axes,) = new_figure(2.6)
        axes.hist(sizes, bins=min(40, max(8, len(sizes) // 5)), color=BLUE, edgecolor="white")
        axes.set_xlabel(f"longer side of the box, {unit} (n = {len(sizes):,} boxes)", fontsize=9)
        axes.set_ylabel("boxes", fontsize=9)
        alt = f"Sizes of {len(sizes)} boxes, median {np.median(sizes):.0f} {unit}."
        out.append(to_plot(figure, "annotations-sizes", "Sizes of boxes", alt))
    if len(boxes.kinds) > 1:
        rows = [(kind, float(n), f"{n:,}") for kind, n in boxes.kinds.most_common(15)]
        alt = "Boxes by kind: " + "; ".join(f"{name} {words}" for name, _, words in rows)
        out.append(bar_plot("annotations-kinds", "Kinds of findings", alt, rows, "boxes"))
    return tuple(out)


def _tables(boxes: Boxes) -> tuple[Table, ...]:
    rows = tuple(
        (FAULTS[fault].split("|")[1], number(int(getattr(boxes, fault))), listed(ids))
        for fault, ids in boxes.examples.items()
    )
    columns = ("what", "cases", "images, for example (pseudonym)")
    return (Table(columns, rows, "Annotations to look at"),) if rows else ()


def _bare(target: str) -> str:
    return {"cancer": "cancer", "abnormal": "abnormality"}.get(target, target)


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
