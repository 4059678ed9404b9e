"""De-identified copies of files in a folder, named by pseudonyms."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mammo.dicom.deidentified_file import write_deidentified
from mammo.dicom.header import CODECS
from mammo.dicom.read import decode_image, read_bytes, read_file
from mammo.errors import DuplicateImage, MammoError, ReadError, SourceNotFound
from mammo.exam import Mammogram
from mammo.killable import KillablePool

State = Literal["written", "unchanged", "refused"]


@dataclass(frozen=True)
class Copied:
    """What became of one file; ``code`` and ``message`` say why it was refused.

    ``sha256`` is of the original, empty where it could not be read at all.
    ``burned_in`` is True where the copy's pixels may show a text: the header admits
    it, or coded pixels have bits above Bits Stored, where old files keep overlays.
    """

    state: State
    sha256: str = ""
    code: str = ""
    message: str = ""
    burned_in: bool = False


class Copier:
    """Writes copies below one folder; an image comes once, whatever files it has."""

    def __init__(self, folder: Path, key: bytes, max_bytes: int, pool: KillablePool) -> None:
        self._folder, self._key, self._max_bytes, self._pool = folder, key, max_bytes, pool
        self._images: dict[str, str] = {}

    def copy(self, path: Path) -> Copied:
        """Write ``<patient>/<exam>/<image>.dcm`` unless the same is there already.

        A file that is no mammogram, or cannot be read, is refused by its code;
        what failed unforeseen is told by its class alone.

        Raises
        ------
        OSError
            The copy could not be written; the next one could not either.
        """
        sha256 = ""
        try:
            data = read_bytes(path, self._max_bytes)
            sha256 = hashlib.sha256(data).hexdigest()
            task = self._pool.submit(deidentify_mammogram, data, self._key, self._max_bytes)
            found, content, burned_in = task.result()
            self._require_new(found, sha256)
        except (ReadError, SourceNotFound) as error:
            message = error.message if isinstance(error, ReadError) else "it cannot be opened"
            return Copied("refused", sha256, error.code, message)
        except Exception as error:  # noqa: BLE001 - its text may quote the header
            told = f"it failed with {type(error).__name__}"
            return Copied("refused", sha256, MammoError.code, told)
        name = f"{found.patient_id}/{found.exam_id}/{found.image_id}.dcm"
        return Copied(_write(self._folder / name, content), sha256, burned_in=burned_in)

    def _require_new(self, found: Mammogram, sha256: str) -> None:
        if self._images.setdefault(found.image_id, sha256) != sha256:
            raise DuplicateImage("another file of the same SOP Instance UID came before it")


def deidentify_mammogram(data: bytes, key: bytes, max_bytes: int) -> tuple[Mammogram, bytes, bool]:
    """Return what a file shows, its de-identified form, and whether a text may stay in its pixels.

    The pixels are decoded to be sure that they are pixels: a damaged codestream
    can hold anything. For a process that may be killed.
    """
    read = read_file(data, key=key, site="", max_bytes=max_bytes)
    quality = {*read.mammogram.quality, *decode_image(read).quality}
    coded = CODECS[read.header.syntax] != "native"  # native pixels are masked when written
    burned_in = "BURNED_IN_ANNOTATION" in quality or (coded and "BITS_ABOVE_STORED" in quality)
    return read.mammogram, write_deidentified(read.file, key), burned_in


def _write(path: Path, content: bytes) -> State:
    """Write a file in one step, unless it is there with the same bytes."""
    if path.is_file() and path.read_bytes() == content:
        return "unchanged"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):  # moved away, or never there
            draft.unlink()
    return "written"
