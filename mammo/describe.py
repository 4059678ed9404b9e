"""Tell what a file is to mammo and why: for `mammo inspect`.

`describe_file` gives JSON-able values, `inspect_file` a picture as well. Both
are meant to be run in a killable process (:mod:`mammo.killable`), and `refused`
says what is known of a file whose reader died. Members of the description:

``schema``
    ``mammo.inspect/2``.
``file``, ``readable``
    The file's own name, and whether a model would get its image.
``refusal``
    Where it is not: ``code``, ``message``, ``meaning`` and ``advice``.
``facts``
    All that was understood, for people: objects of ``group`` (object, view,
    pixels, display, prepared, quality), ``name``, ``value``, ``from`` (element
    and tag) and ``why``. Wording may change; the members below do not.
``object``
    ``modality``, ``sop_class``, ``presentation_intent``: defined terms or null.
``mammogram``
    The pseudonymous facts of :class:`mammo.exam.Mammogram`.
``view``
    ``laterality``, ``position`` and the keywords of the elements they are from.
``pixels``
    ``transfer_syntax``, ``codec`` and the image pixel module.
``display``
    ``by`` (VOI LUT, window, percentiles of the breast), ``window``, ``windows``
    (all valid ones), ``inverted``, ``slope``, ``intercept``, ``padding``.
``prepared``
    ``geometry`` of the crop and image ``features``.
``quality``
    The codes, sorted; :data:`mammo.quality.QUALITY_CODES` has their meaning.

Of a refused file the members up to where reading came are there. No member
holds a name, birth date or original identifier.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mammo.dicom.file import parse_file
from mammo.dicom.header import CODECS, Header, read_header
from mammo.dicom.image import StoredImage
from mammo.dicom.read import MAX_BYTES, ReadFile, decode_image, read_bytes, read_file
from mammo.dicom.terms import INTENTS, MODALITIES, PHOTOMETRIC_INTERPRETATIONS, name_uid
from mammo.errors import MammoError
from mammo.exam import Mammogram
from mammo.facts import (
    GROUPS,
    Fact,
    display_facts,
    exposure_facts,
    object_facts,
    prepared_facts,
    quality_facts,
    spacing_fact,
    view_facts,
)
from mammo.picture import draw_reading, draw_refusal
from mammo.preprocess import Prepared, PreprocessConfig, prepare
from mammo.quality import REFUSALS

SCHEMA = "mammo.inspect/2"


def describe_file(
    path: Path, key: bytes, site: str, config: PreprocessConfig | None = None
) -> dict[str, Any]:
    """Describe one DICOM file, JSON-able and without identifying data."""
    return inspect_file(path, key, site, config, draw=False)[0]


def inspect_file(
    path: Path,
    key: bytes,
    site: str,
    config: PreprocessConfig | None = None,
    draw: bool = True,
) -> tuple[dict[str, Any], bytes]:
    """Describe one DICOM file and draw it; the picture is a PNG, empty without ``draw``."""
    config = config or PreprocessConfig()
    described: dict[str, Any] = {"schema": SCHEMA, "file": path.name, "readable": False}
    facts: list[Fact] = []
    try:
        data = read_bytes(path, MAX_BYTES)
        described |= _describe_object(data, facts)
        read = read_file(data, key=key, site=site)
        described |= _describe_view(read, facts)
        image = decode_image(read, config.jpeg2000_reduce)
        described |= {"display": _describe_display(read, image)}
        facts += display_facts(read, image, config)
        prepared = prepare(image, config)
    except MammoError as error:
        told = described | {"facts": _plain(facts)} | refused(path.name, error)
        return told, draw_refusal(told) if draw else b""
    quality = merge_quality(read.mammogram, image, prepared)
    facts += [*prepared_facts(prepared, config), *quality_facts(quality)]
    described |= {
        "readable": True,
        "prepared": {"geometry": prepared.geometry.to_dict(), "features": prepared.features},
        "quality": list(quality),
        "facts": _plain(facts),
    }
    return described, draw_reading(read, image, prepared, config, described) if draw else b""


def refused(name: str, error: MammoError) -> dict[str, Any]:
    """Return the description of a file that was refused."""
    meaning, advice = REFUSALS.get(error.code, ("", ""))
    return {
        "schema": SCHEMA,
        "file": name,
        "readable": False,
        "refusal": {
            "code": error.code,
            "message": error.message,
            "meaning": meaning,
            "advice": advice,
        },
    }


def read_whole(
    path: Path, key: bytes, site: str, config: PreprocessConfig | None = None
) -> Mammogram:
    """Read, decode and prepare a file, and return its facts with every quality code.

    Raises
    ------
    ReadError
    """
    read = read_file(path, key=key, site=site)
    config = config or PreprocessConfig()
    image = decode_image(read, config.jpeg2000_reduce)
    prepared = prepare(image, config)
    return replace(read.mammogram, quality=merge_quality(read.mammogram, image, prepared))


def merge_quality(mammogram: Mammogram, image: StoredImage, prepared: Prepared) -> tuple[str, ...]:
    """Return the codes of header, pixels and preparation, sorted."""
    decoded: tuple[str, ...] = getattr(image, "quality", ())
    return tuple(sorted({*mammogram.quality, *decoded, *prepared.quality}))


def _describe_object(data: bytes, facts: list[Fact]) -> dict[str, Any]:
    """Describe what the header says of itself, before it is judged."""
    file = parse_file(data, MAX_BYTES)
    header = read_header(file)
    facts += object_facts(file, header)
    return {
        "object": {
            "modality": header.modality if header.modality in MODALITIES else None,
            "sop_class": name_uid(header.sop_class),
            "presentation_intent": header.intent if header.intent in INTENTS else None,
        },
        "pixels": _describe_pixels(header),
    }


def _describe_pixels(header: Header) -> dict[str, Any]:
    layout = asdict(header.layout)
    if layout["photometric"] not in PHOTOMETRIC_INTERPRETATIONS:
        layout["photometric"] = None
    syntax = {"transfer_syntax": name_uid(header.syntax), "codec": CODECS.get(header.syntax)}
    return syntax | layout


def _describe_view(read: ReadFile, facts: list[Fact]) -> dict[str, Any]:
    mammogram = read.mammogram
    facts += [*view_facts(read), *exposure_facts(read), spacing_fact(read)]
    plain = asdict(mammogram) | {
        "view": str(mammogram.view),
        "acquired_on": mammogram.acquired_on and mammogram.acquired_on.isoformat(),
        "quality": list(mammogram.quality),
    }
    return {
        "mammogram": plain,
        "view": {
            "laterality": mammogram.view.laterality.value,
            "laterality_from": read.found.laterality_from,
            "position": mammogram.view.position.value,
            "position_from": read.found.position_from or None,
        },
        "quality": list(mammogram.quality),
    }


def _describe_display(read: ReadFile, image: StoredImage) -> dict[str, Any]:
    used = "VOI LUT" if image.voi_lut else "window" if image.window else "percentiles of the breast"
    shown = read.presentation
    named = zip(shown.windows, shown.window_names, strict=True)
    windows = [asdict(window) | {"name": name or None} for window, name in named]
    return {
        "by": used,
        "window": image.window and asdict(image.window),
        "windows": windows,
        "inverted": image.inverted,
        "slope": image.slope,
        "intercept": image.intercept,
        "padding": image.padding and list(image.padding),
    }


def _plain(facts: Iterable[Fact]) -> list[dict[str, str]]:
    """Return the facts as JSON-able values, those of a group together."""
    return [
        {
            "group": one.group,
            "name": one.name,
            "value": one.value,
            "from": one.source,
            "why": one.why,
        }
        for one in sorted(facts, key=lambda fact: GROUPS.index(fact.group))
    ]
