"""The annotations of a presentation state: boxes around regions, and texts (PS3.3 C.10.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset

from mammo.reports.codes import percent
from mammo.reports.material import ReportMaterial
from mammo.reports.wording import tell_rest

if TYPE_CHECKING:
    from highdicom.pr import GraphicAnnotation, GraphicObject, TextObject

LAYER = "MAMMO"
BANNER = (0.02, 0.94, 0.98, 0.98)
"""Left, top, right, bottom of an image's text, as parts of the displayed area."""


def draw_marks(
    material: ReportMaterial, shown: Sequence[tuple[int, Dataset]]
) -> Iterator[GraphicAnnotation]:
    """Yield the annotation of each image; ``shown`` are places in the material and images."""
    from highdicom.pr import GraphicAnnotation, GraphicLayer

    layer = GraphicLayer(LAYER, order=1)
    views = dict(zip(material.scored, material.views, strict=False))
    for place, image in shown:
        view = views.get(place)
        found = [] if view is None else view["findings"]
        yield GraphicAnnotation(
            referenced_images=[image],
            graphic_layer=layer,
            graphic_objects=[_box(one) for one in found] or None,
            text_objects=[_banner(material, place, view), *_labels(found)],
        )


def _box(finding: Mapping[str, Any]) -> GraphicObject:
    """Return a closed polyline in columns and rows; the image's upper left corner is 0, 0."""
    from highdicom.pr import GraphicObject

    left, top, right, bottom = (float(finding[n]) for n in ("x_min", "y_min", "x_max", "y_max"))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return GraphicObject("POLYLINE", np.array(corners), "PIXEL")


def _labels(found: Sequence[Mapping[str, Any]]) -> Iterator[TextObject]:
    """Yield what stands beside each box: its rank, and what it rests on."""
    from highdicom.pr import TextObject

    for rank, finding in enumerate(found, start=1):
        told = f"{rank}: {tell_rest(finding)}"
        corner = (float(finding["x_min"]), float(finding["y_min"]))
        yield TextObject(told, "PIXEL", anchor_point=corner, anchor_point_visible=False)


def _banner(material: ReportMaterial, place: int, view: Mapping[str, Any] | None) -> TextObject:
    from highdicom.pr import TextObject

    told = _not_scored(material, place) if view is None else _score(material, view)
    return TextObject(told, "DISPLAY", bounding_box=BANNER, text_justification="LEFT")


def _not_scored(material: ReportMaterial, place: int) -> str:
    codes = [one.code for one in material.refused if one.place == place]
    return f"mammo: not scored ({', '.join(codes)}). Decision support, no diagnosis."


def _score(material: ReportMaterial, view: Mapping[str, Any]) -> str:
    """Return the score of the image's breast, the decision, and what speaks against them."""
    answer: Mapping[str, Any] = material.answer or {}
    told = next((one for one in answer["breasts"] if one["laterality"] == view["laterality"]), None)
    parts = [f"mammo {material.release}"]
    if told is not None:
        decided = "recall" if told["recall"] else "no recall"
        parts.append(f"breast {view['laterality']} {percent(told['probability'])} %, {decided}")
    if reserves := answer.get("abstention"):
        parts.append(f"not to be relied on: {', '.join(reserves)}")
    return "; ".join(parts) + ". Decision support, no diagnosis."
