"""The threads that empty the outbox: one for each destination, so that none waits for another.

    with SendingLoop(outbox, ae_title, lock_path=settings.gateway_dir / "sending.lock"):
        ...  # reports go out while the block runs

One process sends for an installation: a lock that dies with its process sees to it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bentos.gateway.dimse_sender import open_association, quiet_libraries
from bentos.gateway.outbox import Outbox
from bentos.gateway.outbox_attempts import Attempts, set_aside_unknown
from bentos.gateway.outbox_tables import Delivery
from bentos.gateway.peer import Peer
from bentos.gateway.sending import Line, Sender, Step
from bentos.gateway.sending_status import PeerAway
from bentos.gateway.stow_sender import open_stow
from mammo.durable_lines import locked
from mammo.errors import MammoError

LOOK_SECONDS = 5.0
"""How soon `mammo outbox retry` of another process, or a changed `peers.yaml`, is seen."""
TROUBLE_SECONDS = 30.0
_log = logging.getLogger("mammo.gateway.sending")


class SendingLoop:
    """Sends until it is left; reports that were not sent stay in the outbox."""

    def __init__(self, outbox: Outbox, ae_title: str, lock_path: Path) -> None:
        self.outbox, self.ae_title, self._lock_path = outbox, ae_title, lock_path
        self._over = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._main = threading.Thread(target=self._run, name="outbox", daemon=True)

    def __enter__(self) -> Self:
        quiet_libraries()
        self._main.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, timeout: float = 10.0) -> None:
        """Begin no more attempts, and wait for those on their way."""
        self._over.set()
        with self.outbox.changed:
            self.outbox.changed.notify_all()
        until = time.monotonic() + timeout
        for one in (self._main, *self._threads.values()):
            if one.is_alive():
                one.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        """Hold the lock, and see that each destination has its thread."""
        while not self._over.is_set():
            with _told("the outbox"):
                self._lock_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with locked(self._lock_path, wait=False) as mine:
                    if mine:
                        self._supervise()
                        return
                _log.warning("another process sends the reports of this home; waiting for it")
            self._over.wait(TROUBLE_SECONDS)

    def _supervise(self) -> None:
        """Go on until it is over, whatever happens: the lock is held by this frame alone."""
        with _told("the outbox"):
            self.outbox.sweep()
        while not self._over.is_set():
            with _told("the outbox"):
                peers = self.outbox.peers()
                for peer in peers.destinations():
                    self._start(peer.name)
                set_aside_unknown(self.outbox, {one.name for one in peers.peers})
            self._over.wait(LOOK_SECONDS)
        for one in self._threads.values():  # the lock is theirs, too
            one.join()

    def _start(self, name: str) -> None:
        if name not in self._threads:
            thread = threading.Thread(
                target=self._serve, args=(name,), name=f"to {name}", daemon=True
            )
            thread.start()
            self._threads[name] = thread

    def _serve(self, name: str) -> None:
        """Send to one destination; what it is, is read anew for each step."""
        attempts = Attempts(self.outbox, name)
        while not self._over.is_set():
            pause = TROUBLE_SECONDS
            with _told(name):
                peer = self.outbox.peers().find(name)
                if peer is not None:
                    pause = self._pause_after(self._step(attempts, peer))
            with self.outbox.changed:
                if not self._over.is_set():
                    self.outbox.changed.wait(pause)

    def _step(self, attempts: Attempts, peer: Peer) -> Step:
        return Sender(attempts, lambda due: line_to(peer, self.ae_title, due)).step(time.time())

    def _pause_after(self, step: Step) -> float:
        """Return seconds to wait, of the wall clock: at most until the next look."""
        if step.next_at is None:
            return LOOK_SECONDS
        return min(max(step.next_at - time.time(), 0.0), LOOK_SECONDS)


@contextmanager
def line_to(peer: Peer, ae_title: str, due: list[Delivery]) -> Iterator[Line]:
    """Open the kind of connection that a peer is reached by. Raises PeerAway."""
    classes = [one.sop_class for one in due]
    opened = open_stow(peer) if peer.via == "stow" else open_association(peer, ae_title, classes)
    with opened as line:
        yield line


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Log what the disk or a library does to us, and go on: the reports stay where they are."""
    try:
        yield
    except MammoError as error:
        _log.error("%s: %s", what, error.message)
    except PeerAway as trouble:
        _log.error("%s: %s, %s", what, trouble.code, trouble.text)
    except Exception as error:  # noqa: BLE001 - a thread that died would send nothing more
        _log.error("%s: %s in the sender; its reports wait", what, type(error).__name__)
