"""The demo's hospital has a picture archive: it sends an exam by DICOM and gets reports back.

A real Storage SCP and SCU (pynetdicom) over TCP on this machine. What comes back is written
to disk, to be looked at with any DICOM tool.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mammo.errors import StackUnhealthy
from mammo.settings import Settings

if TYPE_CHECKING:
    from pynetdicom.events import Event

    from bentos.gateway.book import StudyLine

AE_TITLE = "DEMO_ARCHIVE"
KINDS = ("cad", "report", "marks")
OVER = ("scored", "partly", "failed")
POLL_SECONDS = 0.5


class Archive:
    """Receives what the gateway sends; ``reports`` has kind to the file it was written to."""

    def __init__(self, folder: Path) -> None:
        from pynetdicom import AE, evt

        from mammo.reports.kinds import SOP_CLASSES

        self.folder, self.reports = folder, dict[str, Path]()
        self._kinds = {str(uid): str(kind.value) for kind, uid in SOP_CLASSES.items()}
        entity = AE(AE_TITLE)
        for uid in self._kinds:
            entity.add_supported_context(uid)
        stores: list[Any] = [(evt.EVT_C_STORE, self._store)]
        server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=stores)
        self._server, self.port = server, int(server.socket.getsockname()[1])

    def _store(self, event: Event) -> int:
        kind = self._kinds[str(event.request.AffectedSOPClassUID)]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{kind}.dcm"
        path.write_bytes(event.encoded_dataset())
        self.reports[kind] = path
        return 0x0000

    def peer(self) -> dict[str, Any]:
        """Return the archive as an entry of ``peers.yaml``."""
        return {
            "name": "demo-archive",
            "ae_title": AE_TITLE,
            "host": "127.0.0.1",
            "port": self.port,
            "may_send": True,
            "receives": list(KINDS),
        }

    def send(self, files: Sequence[Path], settings: Settings) -> None:
        """Send the files of one exam to the gateway.

        Raises
        ------
        StackUnhealthy
            The gateway does not take an association, or has not taken an image.
        """
        from pydicom import dcmread
        from pynetdicom import AE

        images = [dcmread(one) for one in files]
        entity = AE(AE_TITLE)
        for context in {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in images}:
            entity.add_requested_context(*context)
        called = settings.dicom_ae_title
        link = entity.associate("127.0.0.1", settings.dicom_port, ae_title=called)
        if not link.is_established:
            raise StackUnhealthy(f"The gateway at port {settings.dicom_port} did not answer.")
        statuses = [link.send_c_store(one) for one in images]
        link.release()
        refused = [one for one in statuses if one.get("Status") != 0x0000]
        if refused:
            raise StackUnhealthy(f"{len(refused)} of {len(images)} images were not taken.")

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()


def write_peers(settings: Settings, archive: Archive) -> None:
    """Let the gateway take images from the archive and send it its reports."""
    path = settings.home / "peers.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump({"peers": [archive.peer()]}, sort_keys=False))


def round_trip(
    settings: Settings, archive: Archive, files: Sequence[Path], patience_seconds: float
) -> StudyLine:
    """Send an exam and wait until its study is over and its reports are back.

    Raises StackUnhealthy where that takes too long, with how far it came.
    """
    from bentos.gateway.book import Book

    book = Book(settings.gateway_book)
    known = {one.study for one in book.studies().studies}
    archive.send(files, settings)
    deadline = time.monotonic() + patience_seconds
    state = "not received"
    while time.monotonic() < deadline:
        for one in book.studies().studies:
            if one.study not in known:
                state = one.state
                if state in OVER and len(archive.reports) == len(KINDS):
                    return one
        time.sleep(POLL_SECONDS)
    back = ", ".join(sorted(archive.reports)) or "nothing"
    raise StackUnhealthy(f"The exam sent by DICOM is {state}; {back} came back from the gateway.")
