"""What must hold for any bytes: a mammogram of the right shape, or a refusal with a code."""

from __future__ import annotations

import re
import resource
import time
import warnings
from dataclasses import replace
from functools import cache

import numpy as np

from mammo.dicom.header import CODECS
from mammo.dicom.read import ReadFile, decode_image, read_file, read_mammogram
from mammo.errors import ReadError
from mammo.preprocess import PreprocessConfig, prepare
from tests.dicom.builders import BIRTH, IMAGE, NAME, STUDY

from .seeds import COLUMNS, ROWS, make_encapsulated

SECRETS = (NAME, "Secret^", BIRTH, STUDY, IMAGE, "secret-id")
ENCAPSULATED = tuple(syntax for syntax, codec in CODECS.items() if codec != "native")
SECONDS = 2.0
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\0\0\0\0"
GROWTH_KB = 700 * 1024
"""64 million pixels of 16 bits may be allocated, and their copies."""
CONFIG = PreprocessConfig(height=32, width=16)


class Finding(AssertionError):
    """The reader did what it must not."""


def check_file(data: bytes, prepared: bool = True) -> str:
    """Read a file; return ``READ`` with its quality codes, or the refusal's code and words.

    Numbers are taken out of the words: what is left tells ways through the code
    apart. Raises ``Finding``, or whatever the reader let escape.
    """
    begun, largest = time.process_time(), _largest_kb()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome, told = _read(data, prepared)
    for text in (told, *(str(warning.message) for warning in caught)):
        for secret in SECRETS:
            if secret in text:
                raise Finding(f"the secret {secret} is in: {text}")
    if (seconds := time.process_time() - begun) > SECONDS:
        raise Finding(f"{seconds:.1f} s for {outcome}")
    if (growth := _largest_kb() - largest) > GROWTH_KB:
        raise Finding(f"{growth // 1024} MiB for {outcome}")
    return outcome


def check_stream(syntax: str, stream: bytes, reduce: int = 0) -> str:
    """Decode a codestream in an otherwise sound file; return as :func:`check_file`."""
    read = _sound(syntax)
    head = read.file.body[: _stream_start(read.file.body)]
    body = head[:-4] + len(stream).to_bytes(4, "little") + stream + END_OF_SEQUENCE
    begun = time.process_time()
    try:
        image = decode_image(replace(read, file=replace(read.file, body=body)), reduce)
    except ReadError as error:
        outcome = _refusal(error)
    else:
        outcome = f"READ {' '.join(image.quality)}".strip()
        wanted = tuple(-(-size >> image.reduction) for size in (ROWS, COLUMNS))
        if image.pixels.shape != wanted:
            raise Finding(f"pixels of shape {image.pixels.shape}, not {wanted}")
    if (seconds := time.process_time() - begun) > SECONDS:
        raise Finding(f"{seconds:.1f} s for {outcome}")
    return outcome


@cache
def find_stream(syntax: str) -> bytes:
    """Return the sound codestream of a syntax."""
    data = make_encapsulated(syntax)
    start = _stream_start(data)
    return data[start : start + int.from_bytes(data[start - 4 : start], "little")]


@cache
def _sound(syntax: str) -> ReadFile:
    return read_file(make_encapsulated(syntax), key=b"key", site="site")


def _stream_start(data: bytes) -> int:
    """Return where the first fragment's bytes are, after the Basic Offset Table."""
    table = data.index(b"\xe0\x7f\x10\0OB") + 12
    return table + 16 + int.from_bytes(data[table + 4 : table + 8], "little")


def _read(data: bytes, prepared: bool) -> tuple[str, str]:
    """Return the outcome and everything that was told."""
    try:
        mammogram, image = read_mammogram(data, key=b"key", site="site")
        quality: set[str] = set(mammogram.quality)
        if image.pixels.shape != (mammogram.rows, mammogram.columns):
            raise Finding(f"{image.pixels.shape} is not {mammogram.rows} x {mammogram.columns}")
        if image.pixels.dtype not in (np.uint8, np.uint16, np.int16):
            raise Finding(f"stored values of {image.pixels.dtype}")
        if prepared:
            result = prepare(image, CONFIG)
            if (
                result.pixels.shape != (32, 16)
                or not np.isfinite([*result.features.values()]).all()
            ):
                raise Finding(f"prepared {result.pixels.shape}, features {result.features}")
            quality |= set(result.quality)
    except ReadError as error:
        return _refusal(error), repr(error.problem())
    return f"READ {' '.join(sorted(quality))}".strip(), repr(mammogram)


def _refusal(error: ReadError) -> str:
    if error.code == "UNREADABLE" or type(error).__module__ != "mammo.errors":
        raise Finding(f"a refusal without a code of its own: {error!r}")
    words = re.sub(r"\(?[0-9A-F]{4},[0-9A-F]{4}\)?|[\d,.-]+|FF..|'.*'", "#", error.message)
    return f"{error.code} {words[:120]}"


def _largest_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
