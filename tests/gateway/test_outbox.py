"""The outbox: durable, idempotent, the newest scoring alone, nothing of the patient in it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bentos.gateway.outbox import Outbox
from bentos.gateway.outbox_attempts import Attempts, set_aside_unknown
from mammo.errors import DeliveryUnknown, DiskFull
from tests.gateway.pacs import NAME, STUDY_UID, make_report, outbox_to, peer_at

KINDS = ("cad", "report", "marks")


def states(outbox: object) -> list[tuple[int, str, str]]:
    return [(one.version, one.kind, one.state) for one in reversed(outbox.deliveries())]  # type: ignore[attr-defined]


def files(home: Path) -> list[Path]:
    return sorted((home / "gateway" / "outbox").glob("*.dcm"))


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """Let the disk refuse what is larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_each_kind_goes_where_it_is_wanted_once(tmp_path: Path) -> None:
    archive = peer_at(2, name="archive", receives=("cad",))
    outbox = outbox_to(tmp_path, peer_at(1), archive)
    reports = [make_report(kind) for kind in KINDS]
    assert outbox.put("study-1", 1, reports) == 4  # three to the PACS, one to the archive
    assert outbox.put("study-1", 1, reports) == 0
    assert outbox.counts() == {"pacs": {"waiting": 3}, "archive": {"waiting": 1}}
    contents = {one.read_bytes() for one in files(tmp_path)}
    assert contents == {report[3] for report in reports}


def test_it_is_for_its_owner_alone_and_names_nobody(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report()])
    folder = tmp_path / "gateway"
    assert [one.stat().st_mode & 0o077 for one in (folder, folder / "outbox")] == [0, 0]
    outbox.close()
    told = b"".join(one.read_bytes() for one in folder.glob("gateway.sqlite*"))
    told += str(outbox.deliveries()[0].to_json()).encode()
    assert not [one for one in (NAME, "Geheim", STUDY_UID) if one.encode() in told]


def test_nobody_receives(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path)
    assert outbox.put("study-1", 1, [make_report()]) == 0
    assert (outbox.deliveries(), files(tmp_path)) == ([], [])


def test_a_newer_scoring_replaces_what_is_not_sent(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report(kind, 1) for kind in KINDS])
    outbox.put("study-2", 1, [make_report("cad", 9)])
    attempts = Attempts(outbox, "pacs")
    sent, stuck, waits, _ = attempts.due(time.time(), 9)
    attempts.begin(sent.number, 0)
    attempts.end(sent, "sent", 0, "SENT")
    attempts.begin(stuck.number, 0)
    attempts.end(stuck, "stuck", 0, "DIMSE_A900")
    attempts.begin(waits.number, 0)  # on its way while the newer one comes
    outbox.put("study-1", 2, [make_report("cad", 2)])
    told = {one.number: one.state for one in outbox.deliveries()}
    assert [told[one.number] for one in (sent, stuck, waits)] == ["sent", "replaced", "sending"]
    attempts.again(waits, 0, "NO_ANSWER", "", uncertain=True)
    assert states(outbox)[2:] == [
        (1, "marks", "replaced"), (1, "cad", "waiting"), (2, "cad", "waiting"),
    ]  # fmt: skip
    assert len(files(tmp_path)) == 2
    assert outbox.put("study-1", 1, [make_report("report", 7)]) == 1
    assert states(outbox)[-1] == (1, "report", "replaced"), "it came after the newer one"


def test_what_is_stuck_is_retried_or_dropped_by_hand(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report("cad"), make_report("marks")])
    attempts = Attempts(outbox, "pacs")
    attempts.failed(time.time() + 600, "PEER_UNREACHABLE", "")
    for one in attempts.due(time.time(), 9):
        attempts.begin(one.number, 0)
        attempts.end(one, "stuck", 0, "DIMSE_C000")
    marks, cad = outbox.deliveries(state="stuck")
    assert outbox.retry(cad.number).state == "waiting"
    assert attempts.line().next_try_at <= time.time(), "the destination is tried at once"
    assert outbox.drop(marks.number).state == "dropped"
    assert len(files(tmp_path)) == 1
    with pytest.raises(DeliveryUnknown, match=f"delivery {marks.number} is dropped"):
        outbox.retry(marks.number)
    with pytest.raises(DeliveryUnknown, match="there is no delivery 99; `mammo outbox list`"):
        outbox.drop(99)


def test_a_destination_that_is_gone_is_told(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1), peer_at(2, name="old"))
    outbox.put("study-1", 1, [make_report()])
    assert set_aside_unknown(outbox, {"pacs"}) == 1
    (stuck,) = outbox.deliveries(state="stuck")
    assert (stuck.destination, stuck.code) == ("old", "DESTINATION_UNKNOWN")
    assert set_aside_unknown(outbox, set()) == 1


def test_a_full_disk_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report()])
    kind, sop_class, uid, content = make_report("cad")
    big = (kind, sop_class, uid, content + bytes(2**22))
    with files_up_to(2**21), pytest.raises(DiskFull, match="make room"):
        outbox.put("study-2", 1, [big])
    assert outbox.deliveries(study="study-2") == []
    assert len(files(tmp_path)) == 1
    assert outbox.put("study-2", 1, [big]) == 1


def test_a_full_disk_lets_no_attempt_begin(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report()])
    outbox.close()
    attempts = Attempts(outbox, "pacs")
    (due,) = attempts.due(time.time(), 9)
    with files_up_to(1024), pytest.raises(sqlite3.OperationalError):  # EFBIG in SQLite's words
        attempts.begin(due.number, 0)
    assert [one.state for one in outbox.deliveries()] == ["waiting"]


def test_a_sweep_removes_what_nothing_names(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report()])
    old, young = (tmp_path / "gateway" / "outbox" / f"{name}.dcm" for name in ("old", "young"))
    old.write_bytes(b"left by a kill")
    young.write_bytes(b"just being put")
    os.utime(old, (0, 0))
    assert outbox.sweep() == 1
    assert len(files(tmp_path)) == 2 and young in files(tmp_path)


def test_a_report_that_arrived_leaves_no_bytes_when_it_is_put_again(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report()])
    (one,) = outbox.deliveries()
    Attempts(outbox, "pacs").end(one, "sent", time.time(), None)
    assert outbox.put("study-1", 1, [make_report()]) == 0
    assert files(tmp_path) == []


def test_bytes_that_are_put_again_outlive_the_drop_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destination takes the place of another, whose delivery another process drops."""
    outbox_to(tmp_path, peer_at(1)).put("study-1", 1, [make_report()])
    outbox, other = outbox_to(tmp_path, peer_at(2, name="archive")), outbox_to(tmp_path)
    write, dropping = Outbox._write, threading.Thread(target=other.drop, args=(1,))

    def write_while_it_is_dropped(self: Outbox, content: bytes) -> str:
        name = write(self, content)
        if not dropping.ident:
            dropping.start()
            dropping.join(1.0)  # it ends in this time, or waits for the end of `put`
        return name

    monkeypatch.setattr(Outbox, "_write", write_while_it_is_dropped)
    outbox.put("study-1", 1, [make_report()])
    dropping.join()
    told = [(one.destination, one.state) for one in reversed(outbox.deliveries())]
    assert told == [("pacs", "dropped"), ("archive", "waiting")]
    assert [one.read_bytes() for one in files(tmp_path)] == [make_report()[3]]


def test_pages_of_deliveries(tmp_path: Path) -> None:
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report("report", n) for n in range(5)])
    first = outbox.deliveries(limit=3)
    rest = outbox.deliveries(limit=3, before=first[-1].number)
    assert [one.number for one in first + rest] == [5, 4, 3, 2, 1]
