"""De-identified copies of files in a folder, named by pseudonyms."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mammo.dicom.deidentified_file import write_deidentified
from mammo.dicom.read import decode_image, read_bytes, read_file
from mammo.errors import DuplicateImage, MammoError, ReadError, SourceNotFound
from mammo.exam import Mammogram
from mammo.killable import KillablePool

State = Literal["written", "unchanged", "refused"]


@dataclass(frozen=True)
class Copied:
    """What became of one file; ``code`` and ``message`` say why it was refused.

    ``sha256`` is of the original, empty where it could not be read at all.
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
        """
        sha256 = ""
        try:
            data = read_bytes(path, self._max_bytes)
            sha256 = hashlib.sha256(data).hexdigest()
            task = self._pool.submit(deidentify_mammogram, data, self._key, self._max_bytes)
            found, content = task.result()
            return self._store(found, content, sha256)
        except (ReadError, SourceNotFound) as error:
            message = error.message if isinstance(error, ReadError) else "it cannot be opened"
            return Copied("refused", sha256, error.code, message)
        except Exception as error:  # noqa: BLE001 - its text may quote the header
            told = f"it failed with {type(error).__name__}"
            return Copied("refused", sha256, MammoError.code, told)

    def _store(self, found: Mammogram, content: bytes, sha256: str) -> Copied:
        if self._images.setdefault(found.image_id, sha256) != sha256:
            raise DuplicateImage("another file of the same SOP Instance UID came before it")
        name = f"{found.patient_id}/{found.exam_id}/{found.image_id}.dcm"
        burned_in = "BURNED_IN_ANNOTATION" in found.quality
        return Copied(_write(self._folder / name, content), sha256, burned_in=burned_in)


def deidentify_mammogram(data: bytes, key: bytes, max_bytes: int) -> tuple[Mammogram, bytes]:
    """Return what a file shows and its de-identified form; for a process that may be killed.

    The pixels are decoded to be sure that they are pixels: a damaged codestream
    can hold anything.
    """
    read = read_file(data, key=key, site="", max_bytes=max_bytes)
    decode_image(read)
    return read.mammogram, write_deidentified(read.file, key)


def _write(path: Path, content: bytes) -> State:
    """Write a file in one step, unless it is there with the same bytes."""
    if path.is_file() and path.read_bytes() == content:
        return "unchanged"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
    return "written"
