"""One picture of what was understood: the mammogram, the prepared image, the facts.

Left the whole mammogram as displayed (after modality LUT, VOI and inversion)
with the breast region found, the crop and the orientation; in the middle the
image as the model sees it; right the facts with their elements. The file's name
is not drawn, since it may name a patient: the pseudonym is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mammo.breast_region import Region
from mammo.dicom.image import StoredImage
from mammo.dicom.read import ReadFile
from mammo.display import display_table
from mammo.facts import orientation
from mammo.preprocess import (
    Geometry,
    LocatedBreast,
    Prepared,
    PreprocessConfig,
    fallback_window,
    locate_breast,
)

HEIGHT = 900
"""Rows of the two images in the picture."""
MARGIN, TEXT_WIDTH, CAPTION = 24, 620, 34
GROUND, INK, FAINT, SOURCE = (18, 20, 24), (235, 237, 240), (150, 156, 166), (122, 168, 214)
REGION, CROP, WARNING = (64, 208, 208), (250, 204, 72), (255, 122, 92)
OPPOSITE = dict(zip("APLRHF", "PARLFH", strict=True))


@dataclass(frozen=True, slots=True)
class Word:
    """A run of text in one colour; ``indent`` in pixels holds for its wrapped lines."""

    text: str
    colour: tuple[int, int, int]
    size: int = 15
    indent: int = 0


def draw_reading(
    read: ReadFile,
    image: StoredImage,
    prepared: Prepared,
    config: PreprocessConfig,
    described: dict[str, Any],
) -> bytes:
    """Draw a file that was read; returns a PNG."""
    whole = _draw_whole(read, image, prepared, config)
    model = Image.fromarray(np.asarray(prepared.pixels >> 8, np.uint8)).convert("RGB")
    model = model.resize(
        (round(HEIGHT * config.width / config.height), HEIGHT), Image.Resampling.LANCZOS
    )
    view = read.mammogram.view
    heading = [Word(f"{view.laterality.value} {view.position.value}", INK, 30)]
    heading += [Word(f"image {read.mammogram.image_id}", FAINT)]
    lines = [*heading, *_fact_lines(described["facts"])]
    seen = f"as the model sees it, {config.height} x {config.width}"
    return to_png(compose([(whole, "as displayed"), (model, seen)], lines))


def draw_refusal(described: dict[str, Any]) -> bytes:
    """Draw the refusal of a file and what was understood before it; returns a PNG."""
    refusal = described["refusal"]
    lines = [
        Word(refusal["code"], WARNING, 30),
        Word(refusal["meaning"], INK, 18),
        Word(refusal["message"], FAINT),
        Word(f"What to do: {refusal['advice']}", INK),
        *_fact_lines(described.get("facts", [])),
    ]
    return to_png(compose([], lines))


def show_whole(
    image: StoredImage, located: LocatedBreast, config: PreprocessConfig
) -> NDArray[np.uint8]:
    """Return the whole mammogram as displayed, (`HEIGHT`, width) uint8."""
    table = display_table(image, fallback_window(image, located, config)) >> 8
    unsigned = image.pixels.view(f"u{image.pixels.dtype.itemsize}")
    rows, columns = image.original_shape
    size = max(1, round(columns * HEIGHT / rows)), HEIGHT
    shown = cv2.resize(table.astype(np.uint8)[unsigned], size, interpolation=cv2.INTER_AREA)
    return np.asarray(shown, np.uint8)


def _draw_whole(
    read: ReadFile, image: StoredImage, prepared: Prepared, config: PreprocessConfig
) -> Image.Image:
    """Return the mammogram as displayed, marked."""
    located = locate_breast(image, config)
    whole = show_whole(image, located, config)
    picture = np.asarray(cv2.cvtColor(whole, cv2.COLOR_GRAY2RGB), np.uint8)
    _outline(picture, located.region, located.step * HEIGHT / image.original_shape[0])
    marked = Image.fromarray(picture)
    _mark_crop(marked, prepared.geometry)
    _mark_orientation(marked, read)
    return marked


def _outline(picture: NDArray[np.uint8], region: Region, scale: float) -> None:
    """Draw the outline of the region; ``scale`` is picture pixels per sample."""
    mask = np.pad(region.mask.astype(np.uint8), 1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = [np.rint((line - 0.5) * scale).astype(np.int32) for line in contours]
    cv2.polylines(picture, lines, True, REGION, 1, cv2.LINE_AA)


def _mark_crop(picture: Image.Image, place: Geometry) -> None:
    """Draw the crop, a pixel inside the picture where it touches the edge."""
    across, down = picture.width / place.columns, picture.height / place.rows
    box = (place.x0 * across, place.y0 * down, place.x1 * across - 1, place.y1 * down - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=CROP, width=2)


def _mark_orientation(picture: Image.Image, read: ReadFile) -> None:
    """Draw where rows and columns run to; the opposite ends have the opposite letters."""
    letters = orientation(read)
    if not letters:
        return
    width, height = picture.size
    right, bottom = letters
    places = (
        (right, (width - 10, height / 2), "rm"),
        (_opposite(right), (10, height / 2), "lm"),
        (bottom, (width / 2, height - 10), "mb"),
        (_opposite(bottom), (width / 2, 10), "mt"),
    )
    draw = ImageDraw.Draw(picture)
    for text, place, anchor in places:
        draw.text(place, text, INK, font(22), anchor=anchor, stroke_width=3, stroke_fill=GROUND)


def _opposite(letters: str) -> str:
    return "".join(OPPOSITE[letter] for letter in letters)


def _fact_lines(facts: Iterable[dict[str, str]]) -> Iterator[Word]:
    """Yield the facts in groups: name and value, then element and reason."""
    group = ""
    for fact in facts:
        if fact["group"] != group:
            group = fact["group"]
            yield Word("", FAINT, 6)
            yield Word(group.upper(), FAINT, 13)
        colour = CROP if group == "quality" else INK
        yield Word(f"{fact['name']}: {fact['value']}", colour)
        told = "; ".join(filter(None, (fact["from"], fact["why"])))
        if told:
            yield Word(told, SOURCE, 13, 16)


def compose(panels: Sequence[tuple[Image.Image, str]], words: Iterable[Word]) -> Image.Image:
    """Set captioned panels beside each other and the text to their right."""
    lines = [(line, word) for word in words for line in _wrap(word)]
    text_height = sum(_line_height(word) for _, word in lines)
    height = max([text_height, *(panel.height + CAPTION for panel, _ in panels)]) + 2 * MARGIN
    left = sum(panel.width + MARGIN for panel, _ in panels) + MARGIN
    canvas = Image.new("RGB", (left + TEXT_WIDTH + MARGIN, height), GROUND)
    draw = ImageDraw.Draw(canvas)
    x = MARGIN
    for panel, caption in panels:
        draw.text((x, MARGIN), caption, FAINT, font(15))
        canvas.paste(panel, (x, MARGIN + CAPTION))
        x += panel.width + MARGIN
    y = MARGIN
    for line, word in lines:
        draw.text((left + word.indent, y), line, word.colour, font(word.size))
        y += _line_height(word)
    return canvas


def to_png(canvas: Image.Image) -> bytes:
    """Return the picture as the bytes of a PNG."""
    stream = BytesIO()
    canvas.save(stream, "PNG", optimize=False)
    return stream.getvalue()


def _wrap(word: Word) -> list[str]:
    """Return the lines of a text that fit the column; a word too long is broken."""
    face, width = font(word.size), TEXT_WIDTH - word.indent
    lines = [""]
    for part in word.text.split(" "):
        longer = f"{lines[-1]} {part}".strip()
        if face.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines += [part] if lines[-1] else []
        while face.getlength(lines[-1] or part) > width:
            rest = lines[-1] or part
            fits = next(n for n in range(len(rest), 0, -1) if face.getlength(rest[:n]) <= width)
            lines[-1] = rest[:fits]
            lines.append(rest[fits:])
    return lines


def _line_height(word: Word) -> int:
    return round(word.size * 1.35)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of every picture in a size of pixels."""
    return ImageFont.load_default(size)
