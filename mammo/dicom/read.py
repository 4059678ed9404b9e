"""One DICOM file in, one Mammogram and its stored pixels out.

What leaves here is pseudonymous: ids are keyed hashes, dates stay (the drift of
a scanner is a matter of days), the birth date becomes an age, and nothing else
of the header goes further.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from mammo.dicom.deidentify import identify, pseudonym
from mammo.dicom.facts import find_codes, find_implant, read_age, read_day, read_exposure
from mammo.dicom.file import DicomFile, parse_file
from mammo.dicom.header import Header, check_header, read_header
from mammo.dicom.image import StoredImage
from mammo.dicom.pixels import decode_pixels
from mammo.dicom.scanner import read_scanner
from mammo.dicom.spacing import Spacing, read_spacing
from mammo.dicom.tags import Tags
from mammo.dicom.views import FoundView, find_view
from mammo.dicom.voi import MAPPED_PADDING, Presentation, apply_modality_lut, read_presentation
from mammo.errors import SourceNotFound, TooLarge
from mammo.exam import Mammogram, View

MAX_BYTES = 200 * 2**20


@dataclass(frozen=True, eq=False)
class ReadFile:
    """A checked file whose pixels are not decoded yet."""

    file: DicomFile
    header: Header
    found: FoundView
    presentation: Presentation
    mammogram: Mammogram
    spacing: Spacing


def read_mammogram(
    source: Path | bytes, *, key: bytes, site: str, max_bytes: int = MAX_BYTES, reduce: int = 0
) -> tuple[Mammogram, StoredImage]:
    """Read header and pixels of one DICOM file.

    ``key`` is the site's secret for pseudonyms; ``reduce`` is
    :func:`decode_image`'s. Raises what :func:`read_mammogram_header` raises, and
    ``PixelsUnreadable``, ``TooLarge`` or ``DicomTruncated`` for the pixels.
    """
    read = read_file(source, key=key, site=site, max_bytes=max_bytes)
    return read.mammogram, decode_image(read, reduce)


def read_mammogram_header(
    source: Path | bytes, *, key: bytes, site: str, max_bytes: int = MAX_BYTES
) -> Mammogram:
    """Read and check the header alone; no pixels are decoded.

    Raises
    ------
    ReadError
        With the code of the first check that fails; the order is that of
        :mod:`mammo.dicom.header`, then the view.
    SourceNotFound
        ``source`` is no file that can be opened.
    """
    return read_file(source, key=key, site=site, max_bytes=max_bytes).mammogram


def read_file(
    source: Path | bytes,
    *,
    key: bytes,
    site: str,
    max_bytes: int = MAX_BYTES,
    told: View | None = None,
) -> ReadFile:
    """Parse and check a file; see :func:`read_mammogram_header`.

    ``told`` is the view that a table beside the files names: its side stands in
    where the header has none.
    """
    data = read_bytes(source, max_bytes)
    file, header, tags = _parse(data, max_bytes)
    found = find_view(tags, told)
    presentation = read_presentation(tags, header.layout)
    spacing = read_spacing(tags)
    scanner, identity_dropped = read_scanner(tags)
    implant = find_implant(tags, found.modifiers)
    quality = _join_codes(
        *(found.quality, presentation.quality, spacing.quality, find_codes(tags, header)),
        IMPLANT=implant is True,
        IDENTITY_IN_TEXT=identity_dropped,
        PREAMBLE_MISSING=not file.preamble,
    )
    sha256 = hashlib.sha256(data).hexdigest()
    patient, exam = identify(tags, sha256)
    mammogram = Mammogram(
        image_id=pseudonym(key, "image", tags.text("SOPInstanceUID") or sha256),
        exam_id=pseudonym(key, "exam", exam),
        patient_id=pseudonym(key, "patient", patient),
        view=found.view,
        scanner=scanner,
        site=site,
        acquired_on=read_day(tags),
        age_years=read_age(tags),
        rows=header.layout.rows,
        columns=header.layout.columns,
        sha256=sha256,
        implant=implant,
        spacing_mm=spacing.mm,
        quality=quality,
        exposure=read_exposure(tags),
    )
    return ReadFile(file, header, found, presentation, mammogram, spacing)


def _parse(data: bytes, max_bytes: int) -> tuple[DicomFile, Header, Tags]:
    """Return the parsed file, what was checked of it, and its elements."""
    file = parse_file(data, max_bytes)
    header = read_header(file)
    check_header(header, file)
    return file, header, Tags(file.dataset, file.little_endian)


def _join_codes(*groups: Iterable[str], **flags: bool) -> tuple[str, ...]:
    """Return all codes of the groups and the names of the flags that are set, sorted."""
    raised = (code for code, holds in flags.items() if holds)
    return tuple(sorted({*raised, *chain.from_iterable(groups)}))


def decode_image(read: ReadFile, reduce: int = 0) -> StoredImage:
    """Decode the pixels of a checked file.

    JPEG 2000 and HTJ2K are decoded at 1 / 2**``reduce`` of the resolution;
    other syntaxes ignore it.
    """
    shown, layout = read.presentation, read.header.layout
    decoded = decode_pixels(read.file, read.header, reduce)
    image = StoredImage(
        pixels=decoded.values,
        bits_stored=layout.bits_stored,
        inverted=shown.inverted,
        slope=shown.slope,
        intercept=shown.intercept,
        window=shown.window,
        voi_lut=shown.voi_lut,
        padding=shown.padding,
        quality=decoded.quality,
        reduction=decoded.reduction,
        full_shape=(layout.rows, layout.columns),
    )
    if shown.modality_lut is None:
        return image
    # a table is applied at once; slope, intercept and padding are of the values before it
    mapped, bits = apply_modality_lut(decoded.values, shown)
    padding = None if shown.padding is None else (MAPPED_PADDING, MAPPED_PADDING)
    return replace(
        image, pixels=mapped, bits_stored=bits, slope=1.0, intercept=0.0, padding=padding
    )


def read_bytes(source: Path | bytes, max_bytes: int) -> bytes:
    """Return the file's bytes, not reading one that is above the limit.

    Raises
    ------
    SourceNotFound, TooLarge
    """
    if isinstance(source, bytes):
        return source
    try:
        size = source.stat().st_size
        if size <= max_bytes:
            return source.read_bytes()
    except OSError as error:
        raise SourceNotFound(f"{source.name}: {error.strerror}") from error
    raise TooLarge(f"the file has {size:,} bytes; allowed are {max_bytes:,}")
