"""The gateway's process: what runs in it, in which order it starts and how it ends.

One process for each home. Whatever is in its memory may be lost at any time: the book
and the inbox are the state, and a start goes on from there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from bentos.gateway.alive import BEAT_SECONDS, beat
from bentos.gateway.inbox import Inbox
from bentos.gateway.keeping import sweep_inbox
from bentos.gateway.ledger import Ledger
from bentos.gateway.outbox import Outbox
from bentos.gateway.peers import PEERS_FILE, PeersFile
from bentos.gateway.receiver import Receiver
from bentos.gateway.reporting import Reporting
from bentos.gateway.scoring import Scorer, StudyScoring
from bentos.gateway.sending_loop import SendingLoop
from mammo.data.durable import storing
from mammo.durable_lines import locked
from mammo.errors import MammoError, StackRunning
from mammo.settings import Settings

LOOK_SECONDS = 1.0
"""How often the book is looked at for what another process (STOW-RS) put into it."""
FAULT_SECONDS = 30.0
SWEEP_SECONDS = 3600.0
SCORED_AT_ONCE = 2
"""Studies at the service at a time; its own queue bounds what they cost."""
LOCK = "gateway.lock"
Loop = Callable[[float], bool]
_log = logging.getLogger("mammo.gateway")


class Gateway:
    """Receiver, scoring, reports and their sending, as threads of this process.

    Parameters
    ----------
    settings
        See `mammo.settings`; ``dicom_port`` 0 takes any free port.
    service
        What scores; `mammo.client.Screening` for ``settings.service_url`` by default.

    Raises
    ------
    StackRunning
        Another gateway has this home.
    SettingsInvalid, SourceInvalid
        TLS files or ``peers.yaml`` cannot be used.
    """

    def __init__(self, settings: Settings, service: Scorer | None = None) -> None:
        self.settings, self._given = settings, service
        self._stop, self._wake = threading.Event(), threading.Condition()
        self._stack, self._threads = ExitStack(), list[threading.Thread]()
        self.receiver: Receiver

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what runs; what is under way is found in the book by the next start."""
        self._stop.set()
        self._rouse()
        for one in self._threads:
            one.join(timeout=5.0)
        self._stack.close()

    def run(self) -> None:
        """Tell every two seconds that all is well, until `stop`; end when a thread has died."""
        while not self._stop.wait(BEAT_SECONDS):
            dead = [one.name for one in self._threads if not one.is_alive()]
            if dead or not self.receiver.is_alive:
                _log.error("ended: %s", ", ".join(dead) or "the receiver")
                raise SystemExit(1)
            beat(self.settings, self.receiver.associations)

    def stop(self, *_: object) -> None:
        """Let `run` end (also the handler of SIGTERM and SIGINT)."""
        self._stop.set()

    def _start(self) -> None:
        settings, enter = self.settings, self._stack.enter_context
        settings.gateway_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not enter(locked(settings.gateway_dir / LOCK, wait=False)):
            raise StackRunning("another gateway runs for this MAMMO_HOME; there is one for each")
        peers = PeersFile(settings.home / PEERS_FILE)
        inbox = Inbox(settings, self._rouse)
        self._stack.callback(inbox.close)
        inbox.sweep()
        ledger = enter(Ledger(settings.gateway_book))
        back = ledger.recover()
        self.receiver = enter(Receiver(settings, inbox, peers))
        outbox = Outbox(settings, peers.current)
        enter(SendingLoop(outbox, settings.dicom_ae_title, settings.gateway_dir / "sending.lock"))
        self._run_loops(ledger, outbox)
        beat(settings)
        _log.info(
            "%s listens on port %d%s; %d studies go on",
            settings.dicom_ae_title,
            self.receiver.port,
            " (TLS)" if settings.dicom_tls_certificate else "",
            back,
        )

    def _run_loops(self, ledger: Ledger, outbox: Outbox) -> None:
        service = self._given or self._stack.enter_context(_client(self.settings))
        scoring = StudyScoring(self.settings, ledger, service)
        reporting = Reporting(self.settings, ledger, outbox)
        reports = threading.Lock()

        def report(now: float) -> bool:
            with reports:
                return reporting.step(now) > 0

        def score(now: float) -> bool:
            return scoring.step(now) and (report(now) or True)

        loops: dict[str, Loop] = {f"scoring-{n}": score for n in range(1, SCORED_AT_ONCE + 1)}
        loops |= {"reporting": report, "keeping": self._keep(ledger)}
        for name, step in loops.items():
            self._thread(name, lambda step=step: self._loop(step))  # type: ignore[misc]

    def _keep(self, ledger: Ledger) -> Loop:
        due = 0.0

        def keep(now: float) -> bool:
            nonlocal due
            if now >= due:
                due = now + SWEEP_SECONDS
                sweep_inbox(self.settings, ledger, now)
            return False

        return keep

    def _thread(self, name: str, target: Callable[[], Any]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _loop(self, step: Loop) -> None:
        """Step while there is something to do; look again when an image came, or soon.

        A fault is told and tried again: the other threads go on meanwhile.
        """
        while not self._stop.is_set():
            pause = LOOK_SECONDS
            try:
                with storing(self.settings.gateway_dir):
                    if step(time.time()):
                        continue
            except Exception as error:  # noqa: BLE001 - a full disk, or a fault of ours
                code = error.code if isinstance(error, MammoError) else type(error).__name__
                _log.error("the gateway cannot go on for now: %s", code)
                pause = FAULT_SECONDS
            with self._wake:
                self._wake.wait(pause)

    def _rouse(self) -> None:
        with self._wake:
            self._wake.notify_all()


def _client(settings: Settings) -> Any:
    from mammo.client import Screening

    token = settings.token.get_secret_value() if settings.token else None
    return Screening(settings.service_url, token, settings.exam_seconds + 30.0, tries=2)
