"""The images of scored exams at full depth, kept for a while for viewers.

    store = ImageStore(settings.images_dir, settings.image_days, settings.image_mb)
    store.keep(request_id, exam_id, viewables)
    store.of_request(request_id).image(image_id).pixels()

A file is a ZIP without compression of its own: ``images.json`` and one ``<image_id>.gz``
each (:class:`mammo.viewable.Viewable`). No header is in it, and nothing that names the
patient. What is lost here costs a picture: nothing is synchronised with the disk.
"""

from __future__ import annotations

import errno
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

from mammo.errors import DiskFull, ResultUnknown, StoreReadOnly
from mammo.kept_files import KeptFiles
from mammo.viewable import Viewable

FORMAT = 1
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class KeptImages:
    """What is kept of one request's images; pixels are read when they are asked for."""

    path: Path
    request_id: str
    exam_id: str
    facts: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the facts. Raises ResultUnknown where it is not there, or was cut off."""
        try:
            with zipfile.ZipFile(path) as archive:
                told = json.loads(archive.read("images.json"))
        except FileNotFoundError as error:
            raise unknown_images() from error
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise ResultUnknown(
                "What was kept of these images is damaged; send the exam again."
            ) from error
        return cls(path, told["request"], told["exam"], tuple(told["images"]))

    @property
    def ids(self) -> set[str]:
        """Return the ids of the images."""
        return {one["image_id"] for one in self.facts}

    def image(self, image_id: str) -> Viewable:
        """Return one image with its pixels. Raises ResultUnknown."""
        facts = next((one for one in self.facts if one["image_id"] == image_id), None)
        if facts is None:
            raise ResultUnknown("The exam has no image of this id, or it is not kept.")
        try:
            with zipfile.ZipFile(self.path) as archive:
                return Viewable.of_facts(facts, archive.read(f"{image_id}.gz"))
        except (FileNotFoundError, KeyError, zipfile.BadZipFile) as error:  # swept meanwhile
            raise unknown_images() from error


class ImageStore(KeptFiles):
    """A folder of images, one file a request; see `KeptFiles`."""

    def keep(self, request_id: str, exam_id: str, images: Sequence[Viewable]) -> None:
        """Keep the images of a request; the same request again replaces them.

        An exam that is scored again has its images once: those of the request before go
        where the new ones are all of them and more.

        Raises
        ------
        DiskFull, StoreReadOnly
            Nothing half-written is left.
        """
        told = {
            "format": FORMAT,
            "request": request_id,
            "exam": exam_id,
            "images": [one.facts() for one in images],
        }

        def write(stream: IO[bytes]) -> None:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr("images.json", json.dumps(told))
                for one in images:
                    archive.writestr(f"{one.image_id}.gz", one.pixels_gz)

        before = self._before(request_id, exam_id)
        try:
            self.put(request_id, exam_id, write)
            if before is not None and before.ids <= {one.image_id for one in images}:
                before.path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno in FULL:
                raise DiskFull(
                    "The disk of the images is full; the scoring is logged, its images are not "
                    "kept. Make room, or lower MAMMO_IMAGE_DAYS or MAMMO_IMAGE_MB."
                ) from error
            raise StoreReadOnly(
                f"The folder of the images cannot be written ({error.strerror})."
            ) from error

    def _before(self, request_id: str, exam_id: str) -> KeptImages | None:
        """Return what is kept of the exam's request before this one."""
        try:
            found = self.latest(exam_id)
        except ResultUnknown:
            return None
        path = self.request_path(found.request_id)
        return None if found.request_id == request_id else replace(found, path=path)

    def has(self, request_id: str | None) -> bool:
        """True while the images of a request are kept."""
        return request_id is not None and self.request_path(request_id).is_file()

    def has_exam(self, exam_id: str) -> bool:
        """True while images of an exam's latest request that had any are kept."""
        return self.exam_path(exam_id).is_file()

    def of_request(self, request_id: str) -> KeptImages:
        """Return the images of a request; ResultUnknown where they are not kept."""
        found = KeptImages.read(self.request_path(request_id))
        if found.request_id != request_id:
            raise unknown_images()
        return found

    def latest(self, exam_id: str) -> KeptImages:
        """Return the images of an exam's latest request; ResultUnknown where there are none."""
        found = KeptImages.read(self.exam_path(exam_id))
        if found.exam_id != exam_id:
            raise unknown_images()
        return found


def unknown_images() -> ResultUnknown:
    """Return the error of images that are not kept."""
    return ResultUnknown(
        "No images are kept of this exam; they are removed after MAMMO_IMAGE_DAYS, and none are "
        "kept where that is 0. Send the exam again to have them."
    )
