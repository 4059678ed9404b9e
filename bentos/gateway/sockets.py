"""A server for associations that bounds what a sender may cost, and reads in larger pieces.

pynetdicom reads a PDU in pieces of 4096 bytes, of whatever length the PDU says, for as
long as a byte comes now and then. Here a PDU longer than was offered ends the connection
before it is read, and so does one that does not come whole in time (PS3.8 9.3.1).
"""

from __future__ import annotations

import logging
import ssl
import time
from typing import Any, cast

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

HEADER_BYTES = 6
OVERHEAD_BYTES = 1024
"""What an A-ASSOCIATE-RQ or a P-DATA-TF may be longer than the offered maximum."""
LEAST_PDU_BYTES = 2**18
"""An A-ASSOCIATE-RQ of 128 presentation contexts with all transfer syntaxes is below this."""
SLACK_BYTES = 2**20
"""For headers of PDUs and PDVs, commands, and the File Meta Information that is added."""
HANDSHAKE_SECONDS = 10.0
_log = logging.getLogger("mammo.gateway.receiver")


class BoundedSocket(AssociationSocket):
    """The socket of one association, with a longest PDU and a longest time for each."""

    idle_seconds: float
    longest_pdu: int
    most_bytes: int
    came: int = 0
    """Bytes since the last object was taken; whoever takes one sets it to 0."""
    too_large: bool = False

    def recv(self, nr_bytes: int) -> bytearray:
        """Return ``nr_bytes`` bytes, or fewer where the peer closed.

        Raises OSError (which pynetdicom takes as a closed connection) where the PDU is
        too long or too slow, or the object that it is of too large.
        """
        if nr_bytes > self.longest_pdu:
            _log.warning(
                "a PDU of %d bytes was refused; %d are allowed", nr_bytes, self.longest_pdu
            )
            raise OSError("PDU too long")
        self.came += nr_bytes
        if self.came > self.most_bytes:
            self.too_large = True
            raise OSError("object too large")
        assert self.socket is not None
        content = bytearray(nr_bytes)
        rest, until = memoryview(content), time.monotonic() + self.idle_seconds
        while rest:
            left = until - time.monotonic()
            if left <= 0:
                _log.warning("a PDU did not come whole in %g s", self.idle_seconds)
                raise TimeoutError("PDU too slow")
            self.socket.settimeout(left)
            read = self.socket.recv_into(rest)
            if not read:
                return content[: nr_bytes - len(rest)]
            rest = rest[read:]
        self.socket.settimeout(self.idle_seconds)
        return content


class BoundedHandler(RequestHandler):
    """Makes an association with a `BoundedSocket`."""

    def _create_association(self) -> Association:
        assoc = super()._create_association()
        server = cast("BoundedServer", self.server)
        sock = cast(AssociationSocket, assoc.dul.socket)
        sock.__class__ = BoundedSocket
        bounded = cast(BoundedSocket, sock)
        bounded.idle_seconds, bounded.most_bytes = server.idle_seconds, server.most_bytes
        bounded.longest_pdu = max(LEAST_PDU_BYTES, server.ae.maximum_pdu_size + OVERHEAD_BYTES)
        return assoc


class BoundedServer(ThreadedAssociationServer):
    """The server; a TLS handshake is made in the connection's own thread, with a limit.

    pynetdicom makes it in the thread that accepts: one caller that says nothing would
    keep out all others.
    """

    daemon_threads = True
    """An association that hangs does not keep the process from ending."""

    def __init__(
        self,
        entity: AE,
        address: tuple[str, int],
        handlers: list[Any],
        tls: ssl.SSLContext | None,
        idle_seconds: float,
        most_bytes: int,
    ) -> None:
        self.tls, self.idle_seconds = tls, idle_seconds
        self.most_bytes = most_bytes + SLACK_BYTES
        super().__init__(
            entity,
            address,
            entity.ae_title,
            entity.supported_contexts,
            evt_handlers=handlers,
            request_handler=BoundedHandler,
        )

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuse connections beyond those that may negotiate, which get a rejection."""
        most = 2 * self.ae.maximum_associations
        if len(self.active_associations) < most:
            return True
        _log.warning("a connection was closed: %d are open", most)
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, then let the association be made."""
        if self.tls is not None:
            request = self._shake_hands(request)
            if request is None:
                return
        super().process_request_thread(request, client_address)

    def _shake_hands(self, request: Any) -> ssl.SSLSocket | None:
        assert self.tls is not None
        request.settimeout(HANDSHAKE_SECONDS)
        try:
            return self.tls.wrap_socket(request, server_side=True)
        except OSError as error:
            _log.warning("a TLS handshake failed (%s)", type(error).__name__)
            self.shutdown_request(request)
            return None
