"""What senders send: small objects in memory, a sender, and a home to receive in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
)
from pynetdicom import AE
from pynetdicom.association import Association

from mammo.settings import Settings
from tests.dicom.builders import make_file

PATIENT = "Secret^Name"
STUDY = "1.2.826.0.1.3680043.8.498.4711"
VIEWS = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
MG = DigitalMammographyXRayImageStorageForPresentation
OTHERS = {
    "CT": (CTImageStorage, "NOT_MAMMOGRAPHY"),
    "tomosynthesis": (BreastTomosynthesisImageStorage, "TOMOSYNTHESIS"),
    "for processing": (DigitalMammographyXRayImageStorageForProcessing, "FOR_PROCESSING"),
    "report": (ComprehensiveSRStorage, "NOT_AN_IMAGE"),
}
"""Objects that a PACS sends along, and the code that each gets."""
SENT = (*(one for one, _ in OTHERS.values()), MG)
PROGRAM = "not installed; apt-get install dcmtk"


def make_home(tmp_path: Path, **more: Any) -> Settings:
    """Return the settings of a fresh home whose gateway takes any free port."""
    given: dict[str, Any] = {
        "home": tmp_path / "home",
        "dicom_port": 0,
        "dicom_quiet_seconds": 0.3,
        "dicom_free_mb": 1,
    }
    return Settings(**(given | more), _env_file=None)


def image(number: int = 1, study: str = STUDY, sop_class: str = MG, **changes: Any) -> bytes:
    """Return a mammogram of a study as a file; ``number`` tells UID and view."""
    side, view = VIEWS[(number - 1) % 4]
    told = {
        "SOPClassUID": sop_class,
        "SOPInstanceUID": f"{study}.{number}",
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.9",
        "PatientName": PATIENT,
        "ImageLaterality": side,
        "ViewPosition": view,
    }
    return make_file(media_class=sop_class, **(told | changes))


def dataset_of(data: bytes) -> Dataset:
    """Return a file as what pynetdicom sends."""
    return dcmread(BytesIO(data))


def associate(
    port: int, *, called: str = "MAMMO", calling: str = "SENDER", **more: Any
) -> Association:
    """Ask for an association; whether it is established is the test's question."""
    entity = AE(calling)
    for one in SENT:
        entity.add_requested_context(one)
    entity.acse_timeout = entity.dimse_timeout = 20
    return entity.associate("127.0.0.1", port, ae_title=called, **more)


def send(port: int, files: Sequence[bytes], **more: Any) -> list[int]:
    """Send files one after the other; return the status of each."""
    association = associate(port, **more)
    assert association.is_established
    statuses = [int(association.send_c_store(dataset_of(one)).Status) for one in files]
    association.release()
    return statuses


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until something holds, and return it."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)
    return found


def require_program(name: str) -> str:
    """Return where a program of DCMTK is; skip by its name where it is not."""
    import shutil

    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is {PROGRAM}")
    return found
