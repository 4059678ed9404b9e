"""Contact sheets of prepared images: rows of captioned tiles with boxes, as small PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

Box = tuple[float, float, float, float]

TILE_HEIGHT = 300
GAP, LINE, MARGIN = 8, 15, 12
GROUND, INK, FAINT, MARK = (18, 20, 24), (235, 237, 240), (158, 165, 175), (250, 204, 72)
GREYS = 124


@dataclass(frozen=True, eq=False)
class Tile:
    """One prepared image, (height, width) uint16, with boxes in its pixels and caption lines."""

    pixels: NDArray[np.uint16]
    lines: tuple[str, ...]
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, eq=False)
class TileRow:
    """A row of tiles under a heading, which may be empty."""

    heading: str
    tiles: Sequence[Tile]


def draw_sheet(rows: Sequence[TileRow], columns: int, tile_height: int = TILE_HEIGHT) -> bytes:
    """Return a PNG of rows of at most ``columns`` tiles; longer rows wrap."""
    from PIL import Image, ImageDraw

    width = max(_tile_width(tile, tile_height) for row in rows for tile in row.tiles)
    parts = [(row.heading if start == 0 else "", row.tiles[start : start + columns])
             for row in rows for start in range(0, len(row.tiles), columns)]  # fmt: skip
    lines = max(len(tile.lines) for row in rows for tile in row.tiles)
    below = LINE * lines + 2 * GAP
    heights = [(LINE + GAP if heading else 0) + tile_height + below for heading, _ in parts]
    across = 2 * MARGIN + columns * (width + GAP) - GAP
    sheet = Image.new("RGB", (across, 2 * MARGIN + sum(heights)), GROUND)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for (heading, tiles), height in zip(parts, heights, strict=True):
        top = y + (LINE + GAP if heading else 0)
        if heading:
            draw.text((MARGIN, y), heading, INK, _font(14))
        for place, tile in enumerate(tiles):
            _paste(sheet, draw, tile, MARGIN + place * (width + GAP), top, width, tile_height)
        y += height
    return _to_png(sheet)


def _paste(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Tile,
    x: int,
    y: int,
    width: int,
    height: int,
) -> None:
    from PIL import Image

    shown = _tile_width(tile, height)
    small: Any = cv2.resize(tile.pixels, (shown, height), interpolation=cv2.INTER_AREA)
    sheet.paste(Image.fromarray((small >> 8).astype(np.uint8)).convert("RGB"), (x, y))
    scale = height / tile.pixels.shape[0]
    for x0, y0, x1, y1 in tile.boxes:
        box = (x + x0 * scale, y + y0 * scale, x + x1 * scale, y + y1 * scale)
        draw.rectangle(box, outline=MARK, width=2)
    for number, line in enumerate(tile.lines):
        place = (x, y + height + GAP // 2 + number * LINE)
        draw.text(place, _fit(line, width), INK if number == 0 else FAINT, _font(11))


def _tile_width(tile: Tile, height: int) -> int:
    rows, columns = tile.pixels.shape
    return max(1, round(columns * height / rows))


def _fit(line: str, width: int) -> str:
    font = _font(11)
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _palette() -> Image.Image:
    """Return greys and the marks' colours: of its own choice, Pillow would mix them."""
    from PIL import Image

    greys = [tone for step in range(GREYS) for tone in 3 * (round(step * 255 / (GREYS - 1)),)]
    colours = [tone for colour in (GROUND, INK, FAINT, MARK) for tone in colour]
    palette = Image.new("P", (1, 1))
    palette.putpalette(greys + colours)
    return palette


def _to_png(sheet: Image.Image) -> bytes:
    """Return a PNG of few colours: a third as large, and a thumbnail needs no more."""
    from PIL import Image

    written = io.BytesIO()
    sheet.quantize(palette=_palette(), dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return written.getvalue()
