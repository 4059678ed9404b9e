"""A PACS of one process that counts what it gets, and answers as a test wants; and its reports."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.events import Event

from bentos.gateway.dimse_sender import FIND, REPORT_CLASSES
from bentos.gateway.outbox import Outbox, Report
from bentos.gateway.peer import Peer
from bentos.gateway.peers import Peers
from mammo.settings import Settings

NAME = "Geheim^Anna"
STUDY_UID = "1.2.826.0.1.3680043.8.498.777"
STORED = tuple(REPORT_CLASSES.values())


class Pacs:
    """Stores and finds; ``received`` has each SOP Instance UID as often as it came.

    ``status`` gives the answer to a C-STORE; ``after`` is called once it is stored, before
    the answer.
    """

    def __init__(
        self,
        port: int = 0,
        classes: Sequence[str] = STORED,
        *,
        finds: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.received: list[str] = []
        self.senders: set[str] = set()
        self.asked = 0
        self.status: Callable[[str], int] = lambda uid: 0x0000
        self.after: Callable[[Event], None] = lambda event: None
        entity = AE("PACS")
        for one in (*classes, *([FIND] if finds else [])):
            entity.add_supported_context(one)
        entity.require_called_aet = True
        self.server = entity.start_server(
            ("127.0.0.1", port),
            block=False,
            ssl_context=tls,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)],
        )
        self.port = self.server.socket.getsockname()[1]

    def _store(self, event: Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        status = self.status(uid)
        if status == 0x0000 or status >> 8 == 0xB0:
            self.received.append(uid)
            self.senders.add(str(event.assoc.requestor.ae_title))
        self.after(event)
        return status

    def _find(self, event: Event) -> Any:
        self.asked += 1
        asked = event.identifier
        assert asked.QueryRetrieveLevel == "IMAGE"
        assert asked.StudyInstanceUID == STUDY_UID and asked.SeriesInstanceUID
        if asked.SOPInstanceUID in self.received:
            yield 0xFF00, asked

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()


def peer_at(port: int, **differs: Any) -> Peer:
    told: dict[str, Any] = {
        "name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port,
        "receives": ("cad", "report", "marks"), "timeout_seconds": 5.0,
    }  # fmt: skip
    return Peer(**told | differs)


def outbox_to(home: Path, *peers: Peer) -> Outbox:
    return Outbox(Settings(home=home, _env_file=None), lambda: Peers(peers))


def make_report(kind: Any = "report", number: int = 1) -> Report:
    """Return a small object of the kind's SOP class in a patient's study."""
    dataset = Dataset()
    dataset.SOPClassUID = REPORT_CLASSES[kind]
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[kind, str(number)])
    dataset.StudyInstanceUID = STUDY_UID
    dataset.SeriesInstanceUID = f"{STUDY_UID}.1"
    dataset.PatientName, dataset.PatientID, dataset.Modality = NAME, "Geheim-1", "SR"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return kind, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), stream.getvalue()
