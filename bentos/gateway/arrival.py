"""One object as it came over the network: what it is, by pseudonyms, and its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from bentos.gateway.objects import NOT_AN_IMAGE, OBJECTS
from mammo.dicom.deidentify import identify, pseudonym
from mammo.dicom.file import DicomFile, parse_file
from mammo.dicom.tags import Tags
from mammo.errors import NotDicom, NotMammography

NEEDED = ("StudyInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, eq=False)
class Arrival:
    """An object: its place in the book and the Part 10 file that is kept.

    ``sha256`` is of the data set without the File Meta Information, which each sender
    writes anew. ``code`` says why it is not scored; ``sop_class``, ``sop_instance``
    and ``study_uid`` are the object's own, for the sender's answer alone.
    """

    study: str
    image: str
    sop_class: str
    syntax: str
    sha256: str
    code: str | None
    data: bytes = field(repr=False)
    sop_instance: str = field(repr=False)
    study_uid: str = field(repr=False)

    @classmethod
    def read(cls, data: bytes, key: bytes, max_bytes: int) -> Arrival:
        """Read a Part 10 file's header; its pixels are not looked at.

        The study is the exam of the service's answer (`mammo.dicom.deidentify.identify`).
        Raises a `ReadError`, NOT_DICOM also where one of `NEEDED` is missing.
        """
        file = parse_file(data, max_bytes)
        tags = Tags(file.dataset, file.little_endian)
        missing = [name for name in NEEDED if not tags.text(name)]
        if missing:
            raise NotDicom(f"the object has no {', '.join(missing)}: nobody could refer to it")
        sop_class, sop_instance = tags.text("SOPClassUID"), tags.text("SOPInstanceUID")
        sha256 = hashlib.sha256(memoryview(data)[file.start :]).hexdigest()
        return cls(
            study=pseudonym(key, "exam", identify(tags, sha256)[1]),
            image=pseudonym(key, "image", sop_instance),
            sop_class=sop_class,
            syntax=file.syntax,
            sha256=sha256,
            code=_code_of(sop_class, file),
            data=data,
            sop_instance=sop_instance,
            study_uid=tags.text("StudyInstanceUID"),
        )

    @property
    def file(self) -> str:
        """Where it lies in the inbox; other bytes lie elsewhere."""
        return f"{self.study}/{self.image}.{self.sha256[:16]}.dcm"


def _code_of(sop_class: str, file: DicomFile) -> str | None:
    if sop_class in OBJECTS:
        return OBJECTS[sop_class]
    return NOT_AN_IMAGE if file.pixel_start is None else NotMammography.code
