"""C-STORE and C-ECHO for those who may call (PS3.4 annex B, PS3.7 9.1.1 and 9.1.5).

    with Receiver(settings, inbox, peers) as receiver:
        ...

A sender is told success when its object and the row of it are on the disk. The status
codes are in `STATUSES`; docs/gateway.md says what a sender should do with each.
"""

from __future__ import annotations

import logging
import ssl
import threading
from types import TracebackType
from typing import Any, Self

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.events import Event

from bentos.gateway.inbox import MB, Inbox, Status, Taken
from bentos.gateway.objects import OBJECTS, TRANSFER_SYNTAXES, VERIFICATION
from bentos.gateway.peers import PeersFile
from bentos.gateway.sockets import BoundedServer, BoundedSocket
from mammo.dicom.deidentified_file import IMPLEMENTATION_NAME, IMPLEMENTATION_UID
from mammo.errors import SettingsInvalid
from mammo.settings import Settings

PDU_BYTES = 131_072
"""What senders may send at once: the most that DCMTK makes use of, 0.1 % of a mammogram."""
ACSE_SECONDS = 30.0
STATUSES: dict[Status, int] = {
    "stored": 0x0000,
    "known": 0x0000,
    "incident": 0xB006,
    "no room": 0xA700,
    "refused": 0xC000,
}
"""PS3.4 table B.2-1: success; warning, elements discarded (both are kept, the first counts);
refused, out of resources; error, cannot understand."""
MISMATCH_STATUS = 0xA900
"""Data set does not match SOP class: UIDs of command and data set differ."""
FAILED_STATUS = 0x0110
"""Processing failure (PS3.7 C.5.7): a fault of ours. Nothing was kept."""
REJECTED = {"caller": (1, 1, 3)}
"""Permanent, by the service user: calling AE title not recognised (PS3.8 9.3.4)."""
_log = logging.getLogger("mammo.gateway.receiver")


class Receiver:
    """The server of the gateway; `start` binds the port.

    Raises
    ------
    SettingsInvalid
        The certificate or key cannot be read.
    OSError
        The port is taken.
    """

    def __init__(self, settings: Settings, inbox: Inbox, peers: PeersFile) -> None:
        self._settings, self._inbox, self._peers = settings, inbox, peers
        self._tls = server_tls(settings)
        self._server: BoundedServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port that it listens on; with ``dicom_port`` 0, the one that it got."""
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def is_alive(self) -> bool:
        """True while connections are accepted."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def associations(self) -> int:
        """Number of associations that are open now."""
        return 0 if self._server is None else len(self._server.active_associations)

    def start(self) -> None:
        """Listen, in a thread of its own."""
        settings = self._settings
        entity = application_entity(settings)
        self._server = BoundedServer(
            entity,
            (settings.host, settings.dicom_port),
            [
                (evt.EVT_REQUESTED, self._admit),
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_C_ECHO, _echo),
                (evt.EVT_ABORTED, _aborted),
                (evt.EVT_CONN_CLOSE, self._closed),
            ],
            self._tls,
            settings.dicom_idle_seconds,
            settings.dicom_max_mb * MB,
        )
        entity._servers.append(self._server)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="receiver", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and end what associations there are."""
        if self._server is None:
            return
        associations = self._server.active_associations
        self._server.shutdown()
        for one in associations:
            one.abort()
        self._server = None

    def _admit(self, event: Event) -> None:
        """Reject an association of a caller that the list of peers does not have."""
        association: Any = event.assoc
        title = str(association.requestor.primitive.calling_ae_title).strip()
        if not self._peers.current().may_store(title, association.requestor.address):
            _log.warning("an association was rejected: the calling AE title or host is not a peer")
            association.acse.send_reject(*REJECTED["caller"])
            association.is_rejected = True
            association.kill()

    def _store(self, event: Event) -> int | Dataset:
        """Keep an object, then answer (the handler of C-STORE)."""
        socket = event.assoc.dul.socket
        assert isinstance(socket, BoundedSocket)
        socket.came = 0
        request: Any = event.request
        expected = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        try:
            taken = self._inbox.take(_part10(event), _source(event), expected)
        except Exception as error:  # noqa: BLE001 - the sender is told, whatever it was
            _log.error("an object could not be taken in: %s", type(error).__name__)
            return _status(FAILED_STATUS, "fault of the receiver; nothing was kept")
        return _answer(taken)

    def _closed(self, event: Event) -> None:
        """Book an object that was cut off because it is too large."""
        socket = event.assoc.dul.socket
        if isinstance(socket, BoundedSocket) and socket.too_large:
            socket.too_large = False
            taken = self._inbox.too_large(_source(event))
            _log.warning("an association was closed: %s", taken.code)


def application_entity(settings: Settings) -> AE:
    """Return the entity with what it accepts and how long it waits."""
    entity = AE(settings.dicom_ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_UID
    entity.implementation_version_name = IMPLEMENTATION_NAME
    entity.require_called_aet = True
    entity.maximum_associations = settings.dicom_associations
    entity.maximum_pdu_size = PDU_BYTES
    entity.acse_timeout = min(ACSE_SECONDS, settings.dicom_idle_seconds)
    entity.network_timeout = settings.dicom_idle_seconds
    entity.dimse_timeout = settings.dicom_idle_seconds
    entity.supported_contexts = [
        *(build_context(one, list(TRANSFER_SYNTAXES)) for one in OBJECTS),
        build_context(VERIFICATION),
    ]
    return entity


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """Return how the port speaks TLS (PS3.15 B.9: TLS 1.2 or later); None where it does not.

    With a client CA, a sender without a certificate of it is turned away. Raises
    SettingsInvalid.
    """
    certificate, key = settings.dicom_tls_certificate, settings.dicom_tls_key
    if certificate is None and key is None and settings.dicom_tls_client_ca is None:
        return None
    if certificate is None:
        raise SettingsInvalid("TLS needs MAMMO_DICOM_TLS_CERTIFICATE (and MAMMO_DICOM_TLS_KEY).")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if settings.dicom_tls_client_ca is not None:
            context.load_verify_locations(settings.dicom_tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            "A file of MAMMO_DICOM_TLS_CERTIFICATE, _KEY or _CLIENT_CA cannot be read or does not "
            f"fit ({type(error).__name__}); all are PEM."
        ) from error
    return context


def _part10(event: Event) -> bytes:
    """Return the object as a Part 10 file: the data set byte for byte as it came (PS3.10 7.1)."""
    meta = encode_file_meta(event.file_meta)
    request: Any = event.request
    return b"".join((b"\0" * 128, b"DICM", meta, request.DataSet.getbuffer()))


def _source(event: Event) -> str:
    return str(event.assoc.requestor.ae_title or "").strip() or "unknown"


def _answer(taken: Taken) -> int | Dataset:
    if taken.code == "IDENTITY_MISMATCH":
        return _status(MISMATCH_STATUS, taken.code)
    status = STATUSES[taken.status]
    if status == 0x0000:
        return status
    _log.warning("an object was answered with %04X: %s", status, taken.code)
    return _status(status, taken.code or "")


def _status(status: int, comment: str) -> Dataset:
    """Return a status with an Error Comment (0000,0902), at most 64 characters (VR LO)."""
    told = Dataset()
    told.Status, told.ErrorComment = status, comment[:64]
    return told


def _aborted(event: Event) -> None:
    """Tell of an association that was held open and silent."""
    association: Any = event.assoc
    if association.dul.idle_timer_expired():
        seconds = association.network_timeout
        _log.warning("an association was ended: it was silent for %g s", seconds)


def _echo(_event: Event) -> int:
    return 0x0000
