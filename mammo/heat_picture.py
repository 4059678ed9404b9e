"""Draw a mammogram beside the heat of its logit, in one scale for all of a picture.

Orange to white is evidence for the target, blue to white against it, and where
there is none the mammogram is seen as it is: opacity and lightness both rise
with the size of the evidence, so that the order of two places is seen without
telling hues apart. The bar has the unit, logits a cell of the grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mammo.dicom.image import StoredImage
from mammo.dicom.read import decode_image, read_file
from mammo.exam import Finding, Mammogram
from mammo.geometry import PreprocessConfig
from mammo.heat_map import HeatMap, Place
from mammo.picture import CROP, FAINT, GROUND, HEIGHT, INK, Word, compose, font, show_whole, to_png
from mammo.preprocess import Prepared, locate_breast, prepare

FOR = ((176, 58, 20), (236, 112, 20), (255, 184, 84), (255, 244, 214))
AGAINST = ((26, 64, 150), (52, 118, 220), (130, 186, 255), (222, 238, 255))
OPACITY = 0.8
"""Of the strongest evidence in a picture."""
BAR_WIDTH, BAR_INSET = 118, 40
BOX = (94, 234, 150)
MARK_RADIUS = 11


@dataclass(frozen=True, eq=False)
class ShownView:
    """A file that was read to be looked at.

    ``shown`` is the whole mammogram as displayed, (`HEIGHT`, width) uint8.
    """

    mammogram: Mammogram
    prepared: Prepared
    shown: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class HeatRow:
    """One row of the picture: what is drawn, and what is written beside it.

    ``boxes`` is what the boxes of ``findings`` are.
    """

    shown: NDArray[np.uint8]
    heat: HeatMap
    places: Sequence[Place]
    findings: Sequence[Finding]
    heading: str
    lines: Sequence[str]
    boxes: str = "the boxes known"


def read_shown(data: bytes, key: bytes, site: str, config: PreprocessConfig) -> ShownView:
    """Read, prepare and display one DICOM file; meant for a killable process.

    Raises
    ------
    ReadError
    """
    read = read_file(data, key=key, site=site)
    image: StoredImage = decode_image(read, config.jpeg2000_reduce)
    whole = show_whole(image, locate_breast(image, config), config)
    return ShownView(read.mammogram, prepare(image, config), whole)


def draw_heat(rows: Sequence[HeatRow]) -> bytes:
    """Draw the rows under each other, all in the scale of the strongest evidence; a PNG."""
    strongest = max(float(np.abs(row.heat.heat).max()) for row in rows) or 1.0
    drawn = [_draw_row(row, strongest) for row in rows]
    canvas = Image.new(
        "RGB", (max(one.width for one in drawn), sum(one.height for one in drawn)), GROUND
    )
    top = 0
    for one in drawn:
        canvas.paste(one, (0, top))
        top += one.height
    return to_png(canvas)


def overlay(
    shown: NDArray[np.uint8], heat: NDArray[np.float32], strongest: float
) -> NDArray[np.uint8]:
    """Lay heat (H, W) over a grey picture (H, W) uint8; returns (H, W, 3) uint8."""
    colour, alpha = _tint(heat, strongest)
    grey = np.repeat(shown[..., np.newaxis], 3, axis=2)
    return np.asarray(np.rint((1 - alpha) * grey + alpha * colour), np.uint8)


def draw_layer(heat: NDArray[np.float32], strongest: float) -> bytes:
    """Return heat (H, W) as a PNG of red, green, blue and opacity, to lie over a mammogram."""
    colour, alpha = _tint(heat, strongest)
    layer = np.concatenate([colour, 255 * alpha], axis=2)
    return to_png(Image.fromarray(np.asarray(np.rint(layer), np.uint8), "RGBA"))


def _tint(
    heat: NDArray[np.float32], strongest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the colours (H, W, 3) in 0 to 255 and the opacity (H, W, 1) of heat (H, W)."""
    part = np.clip(heat / strongest, -1.0, 1.0)
    size = np.abs(part)[..., np.newaxis]
    colour = np.where(part[..., np.newaxis] >= 0, _ramp(FOR, size), _ramp(AGAINST, size))
    return colour, OPACITY * size


def _draw_row(row: HeatRow, strongest: float) -> Image.Image:
    plain = Image.fromarray(row.shown).convert("RGB")
    heat = row.heat.at_original((row.shown.shape[0], row.shown.shape[1]))
    marked = Image.fromarray(overlay(row.shown, heat, strongest))
    scale = row.shown.shape[0] / row.heat.geometry.rows
    for picture in (plain, marked):
        _mark_findings(picture, row.findings, scale)
    _mark_places(marked, row.places, scale)
    boxes = f" with {row.boxes}" if row.findings else ""
    panels = [
        (plain, f"as displayed{boxes}"),
        (marked, "what the logit is made of"),
        (_bar(strongest), "logits a cell"),
    ]
    return compose(panels, _words(row))


def _words(row: HeatRow) -> Iterable[Word]:
    yield Word(row.heading, INK, 26)
    for line in row.lines:
        yield Word(line, FAINT, 15)
    yield Word("", FAINT, 8)
    yield Word("WHERE, IN PIXELS OF THE ORIGINAL", FAINT, 13)
    for number, place in enumerate(row.places, 1):
        where = f"{number}: x {place.x:.0f}, y {place.y:.0f}, within {place.radius:.0f}"
        yield Word(where, CROP, 17)
        told = f"adds {place.heat:.2f} to the logit, {place.share:.0%} of all evidence for it"
        yield Word(told, FAINT, 14, 18)
    if not row.places:
        yield Word("no place speaks for the target", INK)


def _mark_findings(picture: Image.Image, findings: Sequence[Finding], scale: float) -> None:
    draw = ImageDraw.Draw(picture)
    for one in findings:
        box = [scale * edge for edge in (one.x_min, one.y_min, one.x_max, one.y_max)]
        draw.rectangle(box, outline=BOX, width=2)
        name = one.kind.replace("_", " ")
        at = (min(box[0], picture.width - font(13).getlength(name) - 4), box[3] + 3)
        draw.text(at, name, BOX, font(13), stroke_width=2, stroke_fill=GROUND)


def _mark_places(picture: Image.Image, places: Sequence[Place], scale: float) -> None:
    """Write each place's number in a ring, so that it does not cover what it names."""
    draw = ImageDraw.Draw(picture)
    for number, place in enumerate(places, 1):
        x, y = place.x * scale, place.y * scale
        ring = (x - MARK_RADIUS, y - MARK_RADIUS, x + MARK_RADIUS, y + MARK_RADIUS)
        draw.ellipse(ring, outline=GROUND, width=4)
        draw.ellipse(ring, outline=CROP, width=2)
        side = -1 if x > picture.width - 3 * MARK_RADIUS else 1
        draw.text(
            (x + side * 1.9 * MARK_RADIUS, y), str(number), CROP, font(17), anchor="mm",
            stroke_width=3, stroke_fill=GROUND,
        )  # fmt: skip


def _bar(strongest: float) -> Image.Image:
    """Return the scale over a middle grey, from against (below) to for (above)."""
    values = np.linspace(strongest, -strongest, HEIGHT - 2 * BAR_INSET, dtype=np.float32)
    grey = np.full((len(values), 26), 70, np.uint8)
    strip = overlay(grey, np.repeat(values[:, np.newaxis], 26, axis=1), strongest)
    panel = Image.new("RGB", (BAR_WIDTH, HEIGHT), GROUND)
    panel.paste(Image.fromarray(strip), (0, BAR_INSET))
    draw = ImageDraw.Draw(panel)
    for part in (1.0, 0.5, 0.0, -0.5, -1.0):
        y = BAR_INSET + (1 - part) / 2 * (len(values) - 1)
        draw.text((34, y), f"{part * strongest:+.2g}" if part else "0", INK, font(15), anchor="lm")
    draw.text((0, BAR_INSET - 24), "for", INK, font(15))
    draw.text((0, HEIGHT - BAR_INSET + 8), "against", INK, font(15))
    return panel


def _ramp(
    colours: tuple[tuple[int, int, int], ...], size: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the colour of sizes in [0, 1], (..., 1) -> (..., 3)."""
    steps = np.linspace(0.0, 1.0, len(colours))
    channels = zip(*colours, strict=True)
    return np.stack([np.interp(size[..., 0], steps, one) for one in channels], axis=-1)
