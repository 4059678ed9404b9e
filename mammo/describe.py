"""Tell what a file is to mammo: for `mammo inspect FILE`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mammo.dicom.header import CODECS, name_uid
from mammo.dicom.read import ReadFile, decode_image, read_file
from mammo.errors import MammoError
from mammo.preprocess import PreprocessConfig, StoredImage, prepare


def describe_file(path: Path, key: bytes, site: str) -> dict[str, Any]:
    """Describe one DICOM file, JSON-able and without identifying data.

    Members: ``file``, ``readable``; of a file that is not: ``refusal`` (code and
    message); as far as reading came: ``mammogram`` (pseudonymous facts),
    ``view`` (where it was found), ``pixels`` (their encoding), ``display``
    (window or VOI LUT), ``prepared`` (geometry and features) and ``quality``.
    """
    described: dict[str, Any] = {"file": path.name, "readable": False}
    try:
        read = read_file(path, key=key, site=site)
        described |= _describe_header(read)
        image = decode_image(read)
        described |= {"display": _describe_display(image)}
        prepared = prepare(image, PreprocessConfig())
    except MammoError as error:
        return described | {"refusal": {"code": error.code, "message": error.message}}
    return described | {
        "readable": True,
        "prepared": {"geometry": prepared.geometry.to_dict(), "features": prepared.features},
        "quality": sorted({*read.mammogram.quality, *prepared.quality}),
    }


def _describe_header(read: ReadFile) -> dict[str, Any]:
    mammogram, header = read.mammogram, read.header
    facts = asdict(mammogram) | {
        "view": str(mammogram.view),
        "acquired_on": mammogram.acquired_on and mammogram.acquired_on.isoformat(),
    }
    facts["quality"] = list(mammogram.quality)
    return {
        "mammogram": facts,
        "object": {
            "modality": header.modality or None,
            "sop_class": name_uid(header.sop_class),
            "presentation_intent": header.intent or None,
        },
        "view": {
            "laterality": mammogram.view.laterality.value,
            "laterality_from": read.found.laterality_from,
            "position": mammogram.view.position.value,
            "position_from": read.found.position_from or None,
        },
        "pixels": {
            "transfer_syntax": name_uid(header.syntax),
            "codec": CODECS[header.syntax],
            **asdict(header.layout),
        },
        "quality": list(mammogram.quality),
    }


def _describe_display(image: StoredImage) -> dict[str, Any]:
    used = "VOI LUT" if image.voi_lut else "window" if image.window else "percentiles of the breast"
    return {
        "by": used,
        "window": image.window and asdict(image.window),
        "inverted": image.inverted,
        "slope": image.slope,
        "intercept": image.intercept,
        "padding": image.padding and list(image.padding),
    }
