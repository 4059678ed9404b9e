"""One scoring as it is kept: the answer, the prepared images, the heat, and how they lie.

A file is a ZIP without compression of its own: ``result.json``, ``heat.npy``,
``view-N.jpg`` (the prepared image, 8 bits, to be looked at) and, where it was asked for,
``original_ids.json``, the only part that names the patient. Nothing in it is a
pickle. From it come heat map, findings and report without reading a DICOM file
again.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from mammo.errors import ResultUnknown
from mammo.geometry import Geometry
from mammo.heat_map import Grid, HeatMap
from mammo.scoring import Scoring

FORMAT = 1
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
"""The picture behind a heat map need not be exact, and an exam must not wait for it: an
image of 1024 x 512 takes 0.8 ms and 64 KB, as the fastest PNG 5.8 ms and 117 KB."""
MOST_ROWS = 1024
"""Heat maps are drawn on 900 rows; what has twice as many as this is kept at half of them."""


@dataclass(frozen=True, eq=False)
class KeptView:
    """One image of the scoring: what it is, its place in the original, and its pixels.

    ``facts`` are those of the answer's view; ``pixels`` is the prepared image
    (height, width) uint8, to about a level, ``shrink`` times smaller; ``heat`` is None
    where the release does not tell it.
    """

    facts: dict[str, Any]
    geometry: Geometry
    pixels: NDArray[np.uint8]
    heat: HeatMap | None
    shrink: int = 1

    @property
    def name(self) -> str:
        """Side and projection, as ``L CC``."""
        return f"{self.facts['laterality']} {self.facts['view']}"


@dataclass(frozen=True, eq=False)
class KeptResult:
    """A scoring that was kept; ``original_ids`` is a DICOM JSON model a view, or None."""

    request_id: str
    exam_id: str
    kept_at: datetime
    answer: dict[str, Any]
    views: tuple[KeptView, ...]
    original_ids: tuple[dict[str, Any], ...] | None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a kept scoring.

        Raises
        ------
        ResultUnknown
            It is not there, or was cut off as the machine went down.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                return cls._unpack(archive)
        except FileNotFoundError as error:
            raise unknown() from error
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise ResultUnknown(
                "What was kept of this scoring is damaged; send the exam again."
            ) from error

    @classmethod
    def _unpack(cls, archive: zipfile.ZipFile) -> Self:
        told = json.loads(archive.read("result.json"))
        grid = None if told["grid"] is None else Grid(*told["grid"])
        heat = None
        if grid is not None:
            heat = np.load(BytesIO(archive.read("heat.npy")), allow_pickle=False)
        views = []
        for place, (facts, values) in enumerate(zip(told["views"], told["places"], strict=True)):
            coded = np.frombuffer(archive.read(f"view-{place + 1}.jpg"), np.uint8)
            pixels = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
            geometry = Geometry.from_dict(values)
            of_view = None
            if heat is not None and grid is not None:
                of_view = HeatMap(heat[place], geometry, grid)
            shown = np.asarray(pixels, np.uint8)
            views.append(KeptView(facts, geometry, shown, of_view, told["shrink"]))
        ids = None
        if "original_ids.json" in archive.namelist():
            ids = tuple(json.loads(archive.read("original_ids.json")))
        at = datetime.fromisoformat(told["kept_at"])
        return cls(told["request"], told["exam"], at, told["answer"], tuple(views), ids)

    def findings(self) -> dict[str, Any]:
        """Return the findings image by image, as ``GET /v1/exams/{id}/findings`` tells them."""
        names = ("image_id", "laterality", "view", "findings")
        return {
            "exam": self.exam_id,
            "request": self.request_id,
            "release": self.answer["release"],
            "views": [
                {name: view.facts[name] for name in names}
                | {"rows": view.geometry.rows, "columns": view.geometry.columns}
                for view in self.views
            ],
        }

    def heatmap_png(self) -> bytes:
        """Draw the images under each other, each beside its heat; returns a PNG.

        Raises ResultUnknown where the release does not tell its heat.
        """
        from mammo.result_picture import draw_result

        return draw_result(self)


def unknown() -> ResultUnknown:
    """Return the error of a scoring that is not kept."""
    return ResultUnknown(
        "No pictures or findings are kept of this exam or request; they are removed after "
        "MAMMO_RESULT_DAYS. Send the exam again to have them."
    )


def pack_result(
    request_id: str, exam_id: str, answer: Mapping[str, Any], scoring: Scoring
) -> bytes:
    """Return the bytes of the file of one scoring; ``answer`` is JSON-able."""
    grid = scoring.grid if scoring.heat is not None else None
    shrink = max(1, scoring.views[0].prepared.pixels.shape[0] // MOST_ROWS)
    places = [asdict(view.prepared.geometry) for view in scoring.views]
    told = {
        "format": FORMAT,
        "request": request_id,
        "exam": exam_id,
        "kept_at": datetime.now(UTC).isoformat(),
        "answer": dict(answer),
        "views": scoring.report.to_json()["views"],
        "places": places,
        "shrink": shrink,
        "grid": None if grid is None else astuple(grid),
    }
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("result.json", json.dumps(told))
        if grid is not None:
            archive.writestr("heat.npy", _npy(np.asarray(scoring.heat, np.float32)))
        for place, view in enumerate(scoring.views, start=1):
            shown = _shown(view.prepared.pixels, shrink)
            archive.writestr(f"view-{place}.jpg", cv2.imencode(".jpg", shown, JPEG)[1].data)
        ids = [view.original_ids for view in scoring.views]
        if all(one is not None for one in ids):
            archive.writestr("original_ids.json", json.dumps(ids))
    return stream.getvalue()


def _shown(pixels: NDArray[np.uint16], shrink: int) -> NDArray[np.uint8]:
    """Return prepared pixels to look at: 8 bits, ``shrink`` times smaller."""
    if shrink > 1:
        size = (pixels.shape[1] // shrink, pixels.shape[0] // shrink)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint16)
    return (pixels >> 8).astype(np.uint8)


def _npy(array: NDArray[Any]) -> bytes:
    stream = BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
