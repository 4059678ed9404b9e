"""Sending: everything arrives once, over outages, refusals, cut-off attempts and kills."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.events import Event

from bentos.gateway.outbox import Outbox
from bentos.gateway.outbox_attempts import Attempts
from bentos.gateway.peer import Peer
from bentos.gateway.sending import Sender
from bentos.gateway.sending_loop import line_to
from flows.servers import free_port
from tests.gateway.images import wait_for
from tests.gateway.pacs import (
    NAME,
    STORED,
    STUDY_UID,
    Pacs,
    make_report,
    outbox_to,
    peer_at,
)  # fmt: skip

START = 1_000_000.0
HOUR = 3600.0


def sender_to(outbox: Outbox, peer: Peer) -> Sender:
    return Sender(Attempts(outbox, peer.name), lambda due: line_to(peer, "MAMMO", due))


def filled(home: Path, peer: Peer, count: int = 1, kind: Any = "report") -> Outbox:
    outbox = outbox_to(home, peer)
    outbox.put("study-1", 1, [make_report(kind, n) for n in range(count)], now=START)
    return outbox


def uids(count: int, kind: Any = "report") -> list[str]:
    return [make_report(kind, n)[2] for n in range(count)]


def only(outbox: Outbox) -> Any:
    (one,) = outbox.deliveries()
    return one


def test_reports_arrive_in_order_over_one_association(tmp_path: Path) -> None:
    with Pacs() as pacs:
        outbox = filled(tmp_path, peer_at(pacs.port), 6)
        step = sender_to(outbox, peer_at(pacs.port)).step(START)
    assert (step.sent, step.next_at) == (6, None)
    assert pacs.received == uids(6)
    assert pacs.senders == {"MAMMO"}
    assert outbox.counts() == {"pacs": {"sent": 6}}
    assert not list((tmp_path / "gateway" / "outbox").glob("*.dcm")), "names stay no longer"
    assert pacs.asked == 0


def test_a_pacs_that_was_down_for_an_hour_gets_everything_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    outbox = filled(tmp_path, peer_at(port), 20)
    sender, now, tries = sender_to(outbox, peer_at(port)), START, 0
    pauses = []
    while now < START + HOUR:
        step = sender.step(now)
        assert step.sent == 0 and step.next_at is not None and step.next_at > now
        pauses.append(step.next_at - now)
        now, tries = step.next_at, tries + 1
    assert 10 <= tries <= 25, "neither idle nor knocking all the time"
    assert 2.5 <= pauses[0] <= 5 and 300 <= max(pauses) <= 600
    assert [(one.code, one.failures) for one in outbox.destinations()] == [
        ("PEER_UNREACHABLE", tries)
    ]
    with Pacs(port) as pacs:
        assert sender.step(now - 1).sent == 0, "not before its time"
        assert sender.step(now).sent == 20
        assert sender.step(now + HOUR).sent == 0
    assert pacs.received == uids(20)
    assert outbox.destinations()[0].failures == 0
    assert f"failure {tries} in a row" in caplog.text
    assert not [one for one in (NAME, STUDY_UID, *uids(20)) if one in caplog.text]


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        (0xA700, "waiting", "DIMSE_A700"),
        (0xA900, "stuck", "DIMSE_A900"),
        (0xC000, "stuck", "DIMSE_C000"),
        (0xCFFF, "stuck", "DIMSE_CFFF"),
        (0x0122, "stuck", "DIMSE_0122"),
        (0x0124, "stuck", "DIMSE_0124"),
        (0x0110, "waiting", "DIMSE_0110"),
        (0x0111, "sent", "DIMSE_0111"),
        (0xB000, "sent", "DIMSE_B000"),
        (0xD123, "stuck", "DIMSE_D123"),
    ],
)
def test_what_a_status_leads_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, state: str, code: str
) -> None:
    with Pacs() as pacs:
        pacs.status = lambda uid: status
        outbox = filled(tmp_path, peer_at(pacs.port))
        step = sender_to(outbox, peer_at(pacs.port)).step(START)
    assert (only(outbox).state, only(outbox).code) == (state, code)
    assert (step.next_at is not None) is (state == "waiting")
    told = [one.message for one in caplog.records if "mammo outbox retry 1" in one.message]
    assert len(told) == (state == "stuck")


def test_a_full_pacs_is_left_alone_for_a_while(tmp_path: Path) -> None:
    with Pacs() as pacs:
        pacs.status = lambda uid: 0xA700 if uid == uids(3)[1] else 0
        outbox = filled(tmp_path, peer_at(pacs.port), 3)
        sender = sender_to(outbox, peer_at(pacs.port))
        step = sender.step(START)
        assert pacs.received == uids(1) and step.next_at is not None and step.next_at > START + 2
        pacs.status = lambda uid: 0
        assert sender.step(step.next_at).sent == 2
        assert pacs.received == uids(3)


def test_a_report_that_cannot_be_processed_holds_up_no_other(tmp_path: Path) -> None:
    with Pacs() as pacs:
        pacs.status = lambda uid: 0x0110 if uid == uids(1)[0] else 0
        outbox = filled(tmp_path, peer_at(pacs.port), 3)
        sender, now, steps = sender_to(outbox, peer_at(pacs.port)), START, 0
        assert sender.step(now).sent == 2
        while outbox.counts()["pacs"].get("waiting") and steps < 30:
            now, steps = sender.step(now).next_at or now, steps + 1
        assert outbox.counts() == {"pacs": {"sent": 2, "stuck": 1}}
        assert 18 <= steps <= 21


@pytest.mark.parametrize("classes", [STORED[1:], ("1.2.840.10008.5.1.4.1.1.2",)])
def test_a_class_that_is_not_accepted_is_stuck_alone(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    with Pacs(classes=classes, finds=False) as pacs:
        outbox = outbox_to(tmp_path, peer_at(pacs.port))
        outbox.put("study-1", 1, [make_report("cad"), make_report("report")], now=START)
        sender_to(outbox, peer_at(pacs.port)).step(START)
    told = {one.kind: (one.state, one.code) for one in outbox.deliveries()}
    assert told["cad"] == ("stuck", "NO_PRESENTATION_CONTEXT")
    assert told["report"][0] == ("sent" if len(classes) > 1 else "stuck")


def test_a_pacs_that_does_not_know_us_is_tried_again(tmp_path: Path) -> None:
    with Pacs() as pacs:
        peer = peer_at(pacs.port, ae_title="OTHER")
        outbox = filled(tmp_path, peer)
        step = sender_to(outbox, peer).step(START)
    (line,) = outbox.destinations()
    assert line.code == "PEER_REJECTS"
    assert "for good, it does not have the AE title that we call" in line.text
    assert only(outbox).state == "waiting" and step.next_at is not None


@pytest.mark.parametrize("stored", [True, False])
def test_an_attempt_without_an_answer_is_asked_for(tmp_path: Path, stored: bool) -> None:
    """The association breaks after the report was sent, stored or not."""

    def cut(event: Event) -> None:
        event.assoc.abort()
        if not stored:
            pacs.received.clear()

    with Pacs() as pacs:
        pacs.after = cut
        outbox = filled(tmp_path, peer_at(pacs.port))
        sender = sender_to(outbox, peer_at(pacs.port))
        step = sender.step(START)
        assert (only(outbox).state, only(outbox).uncertain) == ("waiting", True)
        pacs.after = lambda event: None
        assert step.next_at is not None
        again = sender.step(step.next_at)
        assert (again.sent, again.found) == (1, int(stored))
    assert pacs.received == uids(1) and pacs.asked == 1
    assert only(outbox).code == ("FOUND" if stored else "SENT")


def test_where_nobody_can_be_asked_it_goes_again_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Pacs(finds=False) as pacs:
        outbox = filled(tmp_path, peer_at(pacs.port))
        Attempts(outbox, "pacs").begin(1, START)  # and a kill
        assert sender_to(outbox, peer_at(pacs.port)).step(START).sent == 1
    assert pacs.received == uids(1)
    assert only(outbox).code == "SENT_AGAIN"
    assert "delivery 1 to pacs may arrive twice, under the same UID" in caplog.text


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with Pacs() as pacs:
        outbox = filled(tmp_path, peer_at(pacs.port), 2)
        (tmp_path / "gateway" / "outbox" / outbox.deliveries()[1].file).unlink()
        assert sender_to(outbox, peer_at(pacs.port)).step(START).sent == 1
    assert [one.code for one in outbox.deliveries()] == ["SENT", "BYTES_GONE"]


def send_until_killed(home: Path, peer: Peer) -> None:
    outbox = outbox_to(home, peer)
    sender = sender_to(outbox, peer)
    while outbox.counts()["pacs"].get("sent", 0) < 40:
        sender.step(time.time())


@pytest.mark.slow
def test_kill_9_anywhere_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The sender's process is killed twelve times, at times that spread over its work."""
    start = multiprocessing.get_context("fork")
    with Pacs() as pacs:
        pacs.after = lambda event: time.sleep(0.01)
        peer = peer_at(pacs.port)
        filled(tmp_path, peer, 40).close()
        kills = 0
        for round_ in range(12):
            child = start.Process(target=send_until_killed, args=(tmp_path, peer))
            before = len(pacs.received)
            child.start()
            until = time.monotonic() + 10
            while len(pacs.received) <= before + round_ % 3 and time.monotonic() < until:
                time.sleep(0.002 * (round_ % 5 + 1))
            with suppress(ProcessLookupError):
                os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
            kills += child.exitcode == -signal.SIGKILL
            wait_for(lambda: not pacs.server.active_associations)  # what was on the wire is stored
        send_until_killed(tmp_path, peer)
    assert kills >= 8
    assert Counter(pacs.received) == Counter(uids(40))


def test_the_log_names_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="mammo")
    with Pacs() as pacs:
        pacs.status = lambda uid: 0xC000
        outbox = filled(tmp_path, peer_at(pacs.port))
        sender_to(outbox, peer_at(pacs.port)).step(START)
    told = "".join(one.getMessage() for one in caplog.records if one.name.startswith("mammo"))
    assert "is stuck" in told
    assert not [one for one in (NAME, STUDY_UID, uids(1)[0], str(tmp_path)) if one in told]
