"""Reports by C-STORE, and the question whether one has arrived by C-FIND (PS3.4 annexes B, C)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.gateway.peer import Peer, PeerTls
from bentos.gateway.sending_status import NO_CONTEXT, PeerAway, Result, result_of_status
from mammo.dicom.deidentified_file import IMPLEMENTATION_NAME, IMPLEMENTATION_UID

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom import AE
    from pynetdicom.association import Association

SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Explicit and Implicit VR Little Endian; a report is written in the first, the peer chooses."""
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
"""Study Root Query/Retrieve Information Model - FIND."""
ECHO = "1.2.840.10008.1.1"
REPORT_CLASSES = {
    "cad": "1.2.840.10008.5.1.4.1.1.88.50",  # Mammography CAD SR
    "report": "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "marks": "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
}
"""Kind -> SOP Class UID of what is sent."""
PENDING = (0xFF00, 0xFF01)
CANNOT_ENCODE = Result(
    "stuck", "CANNOT_ENCODE", "the report cannot be written in a transfer syntax that it takes"
)


class DimseLine:
    """An association with a peer."""

    def __init__(self, association: Association, peer: Peer) -> None:
        self._association, self._peer = association, peer

    def send(self, path: Path) -> Result:
        """Send one report. Raises PeerAway when no answer came: it may have arrived."""
        dataset = _read(path)
        if not self._accepts(str(dataset.SOPClassUID)):
            return NO_CONTEXT
        try:
            answer = self._asked(lambda: self._association.send_c_store(dataset))
        except ValueError:  # the syntax is none that the peer took, or a value cannot be written
            return CANNOT_ENCODE
        return result_of_status(int(answer.Status))

    def has(self, path: Path) -> bool | None:
        """Ask at IMAGE level (PS3.4 section C.6.2.1); None where the peer answers no query."""
        if not self._accepts(FIND):
            return None
        query = _query(_read(path))
        answers = self._asked(lambda: list(self._association.send_c_find(query, FIND)))
        statuses = [int(status.get("Status", 0xC000)) for status, _ in answers]
        if not statuses or statuses[-1] != 0x0000:
            return None  # it failed, or ended without an end
        wanted = str(query.SOPInstanceUID)
        matches = (found for status, found in answers if status.Status in PENDING and found)
        return any(str(found.get("SOPInstanceUID", "")) == wanted for found in matches)

    def _accepts(self, sop_class: str) -> bool:
        return any(one.abstract_syntax == sop_class for one in self._association.accepted_contexts)

    def _asked(self, ask: Any) -> Any:
        """Return the answer; one that did not come leaves the report's arrival open."""
        try:
            answer = ask()
        except RuntimeError as error:  # the association was released or aborted before
            raise PeerAway("PEER_LEFT", "it ended the association") from error
        if answer is None or (not isinstance(answer, list) and "Status" not in answer):
            raise PeerAway("NO_ANSWER", "the association broke before its answer", uncertain=True)
        return answer


@contextmanager
def open_association(peer: Peer, ae_title: str, sop_classes: Sequence[str]) -> Iterator[DimseLine]:
    """Open an association for these SOP classes, and for asking what the peer has.

    Raises
    ------
    PeerAway
        Nobody listens, the certificate is not trusted, or the peer rejects us.
    """
    entity = entity_of(peer, ae_title)
    for sop_class in dict.fromkeys((*sop_classes, FIND)):
        entity.add_requested_context(sop_class, list(SYNTAXES))
    association = associate(entity, peer)
    try:
        yield DimseLine(association, peer)
    finally:
        if association.is_established:
            association.release()


def echo(peer: Peer, ae_title: str) -> Result:
    """Ask a peer whether it is there (C-ECHO). Raises PeerAway."""
    entity = entity_of(peer, ae_title)
    entity.add_requested_context(ECHO, list(SYNTAXES))
    association = associate(entity, peer)
    if not association.is_established:
        return NO_CONTEXT
    try:
        answer = association.send_c_echo()
    finally:
        if association.is_established:
            association.release()
    if "Status" not in answer:
        raise PeerAway("NO_ANSWER", "the association broke before its answer")
    return result_of_status(int(answer.Status))


def entity_of(peer: Peer, ae_title: str) -> AE:
    """Return our application entity with the peer's limits of time."""
    from pynetdicom import AE

    entity = AE(ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_UID
    entity.implementation_version_name = IMPLEMENTATION_NAME
    entity.connection_timeout = entity.acse_timeout = peer.timeout_seconds
    entity.dimse_timeout = entity.network_timeout = peer.timeout_seconds
    return entity


def associate(entity: AE, peer: Peer) -> Association:
    """Open an association, one without any accepted context as well. Raises PeerAway."""
    tls = None if peer.tls is None else (tls_context(peer.tls), peer.host)
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title, tls_args=tls)
    if association.is_established or association.rejected_contexts:
        return association  # in the second case it accepts nothing, which is about the reports
    if association.is_rejected:
        told = association.acceptor.primitive
        raise PeerAway("PEER_REJECTS", f"it rejects the association: {_reason(told)}")
    raise PeerAway(
        "PEER_UNREACHABLE", "no association: is it up, are host, port and TLS those of the peer?"
    )


def tls_context(tls: PeerTls) -> ssl.SSLContext:
    """Return TLS 1.2 or newer as BCP 195 has it (PS3.15 annex B.12). Raises PeerAway."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = tls.check_name
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise PeerAway(
            "TLS_FILES", f"the files of tls cannot be used ({type(error).__name__})"
        ) from error
    return context


def quiet_libraries() -> None:
    """Keep identifiers and addresses out of the logs: what fails is logged here, by code."""
    from pynetdicom import _config

    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    for name in ("pynetdicom", "httpx", "httpcore", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _reason(told: Any) -> str:
    """Return why an association was rejected (PS3.8 table 9-21)."""
    kinds = {1: "for good", 2: "for now"}
    named = {
        (1, 3): "it does not know our AE title",
        (1, 7): "it does not have the AE title that we call",
        (3, 1): "it is congested",
        (3, 2): "it has too many associations",
    }
    source, why = getattr(told, "result_source", 0), getattr(told, "diagnostic", 0)
    kind = kinds.get(getattr(told, "result", 0), "")
    return ", ".join(
        one for one in (kind, named.get((source, why), f"reason {source}.{why}")) if one
    )


def _read(path: Path) -> Dataset:
    import pydicom

    return pydicom.dcmread(path)


def _query(report: Dataset) -> Dataset:
    from pydicom.dataset import Dataset

    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(query, name, report[name].value)
    return query
