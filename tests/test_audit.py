"""The audit log: its chain holds over processes and crashes, and each break is named."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from mammo.audit import AuditLog
from mammo.audit_chain import START, Head, sign, to_line
from mammo.errors import AuditKeyMissing, DiskFull, SettingsInvalid

Lines = list[bytes]


def fill(log: AuditLog, count: int = 10) -> Head:
    head = START
    for number in range(1, count + 1):
        head = log.append(
            "ward-3",
            ["read", "predict"],
            "score",
            f"E-{number}",
            "r-1",
            "recall",
            200,
            f"q-{number}",
        )
    return head


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    made = AuditLog(tmp_path / "audit" / "audit.jsonl")
    fill(made)
    return made


def test_what_a_line_holds(log: AuditLog) -> None:
    first, second = list(log.entries())[:2]
    assert first["prev"] == "0" * 64 and second["prev"] == first["hash"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(first["at"])).total_seconds()) < 60
    wanted = {"seq": 1, "who": "ward-3", "roles": ["predict", "read"], "action": "score"}
    wanted |= {"exam": "E-1", "release": "r-1", "result": "recall", "status": 200}
    assert wanted | {"request_id": "q-1"} == {
        name: value for name, value in first.items() if name not in ("at", "prev", "hash")
    }


def test_a_line_for_each_of_many_exams(log: AuditLog) -> None:
    head = log.append_each([f"E-{n}" for n in range(500)], "registry", ["outcomes"], "outcome")
    lines = list(log.entries())[10:]
    assert (head.seq, len(lines), log.verify().head) == (510, 500, head)
    assert [one["exam"] for one in lines] == [f"E-{n}" for n in range(500)]
    assert log.append_each([], "registry", [], "outcome") == head, "no exam, no line"


def test_files_are_the_owner_s_alone(log: AuditLog) -> None:
    modes = {one.name: one.stat().st_mode & 0o777 for one in log.path.parent.iterdir()}
    assert modes == {"audit.jsonl": 0o600, "audit.key": 0o600, "audit.lock": 0o600}
    assert log.path.parent.stat().st_mode & 0o777 == 0o700


def test_an_empty_log_is_intact(tmp_path: Path) -> None:
    empty = AuditLog(tmp_path / "audit.jsonl")
    assert (empty.head(), empty.verify().intact, list(empty.entries())) == (START, True, [])
    assert empty.verify(Head(3, "a" * 64)).how == "cut off"


def edit(old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    return lambda lines: [line.replace(old, new) for line in lines]


BREAKS: list[tuple[str, Callable[[Lines], Lines], int, str]] = [
    ("an exam", edit(b"E-7", b"E-8"), 7, "changed"),
    ("a person", lambda x: [*x[:3], x[3].replace(b"ward-3", b"ward-4"), *x[4:]], 4, "changed"),
    ("spaces", lambda x: [*x[:3], x[3].replace(b",", b", "), *x[4:]], 4, "changed"),
    ("no JSON", lambda x: [*x[:3], b"rubbish\n", *x[4:]], 4, "changed"),
    ("a number", lambda x: [*x[:3], b"4\n", *x[4:]], 4, "changed"),
    ("an empty line", lambda x: [*x[:3], b"\n", *x[3:]], 4, "changed"),
    ("the first", lambda x: x[1:], 1, "removed"),
    ("two lines", lambda x: [*x[:4], *x[6:]], 5, "removed"),
    ("swapped", lambda x: [*x[:4], x[5], x[4], *x[6:]], 5, "reordered"),
    ("the last first", lambda x: [x[-1], *x[:-1]], 1, "reordered"),
    ("again", lambda x: [*x[:4], x[1], *x[4:]], 5, "repeated"),
    ("half a line", lambda x: [*x[:-1], x[-1][:50]], 10, "cut off"),
    ("the end", lambda x: x[:-2], 9, "cut off"),
    ("all", lambda x: [], 1, "cut off"),
]


@pytest.mark.parametrize(("what", "tamper", "line", "how"), BREAKS, ids=[b[0] for b in BREAKS])
def test_the_first_broken_line_is_named(
    log: AuditLog, what: str, tamper: Callable[[Lines], Lines], line: int, how: str
) -> None:
    kept = log.head()
    assert log.verify(kept).intact
    log.path.write_bytes(b"".join(tamper(log.path.read_bytes().splitlines(keepends=True))))
    report = log.verify(kept)
    assert (report.broken_line, report.how, report.lines) == (line, how, line - 1)
    assert f"{line}" in report.message


def test_a_cut_end_is_seen_only_against_a_kept_head(log: AuditLog) -> None:
    kept = log.head()
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:-2]))
    assert log.verify().intact
    assert log.verify(str(kept)).how == "cut off"
    fill(log, 5)
    assert log.verify().intact
    assert (log.verify(kept).how, log.verify(kept).broken_line) == ("replaced", 10)


def test_a_chain_written_anew_with_the_key(log: AuditLog) -> None:
    kept, key = log.head(), (log.path.parent / "audit.key").read_bytes()
    head, lines = START, []
    for entry in log.entries():
        unsigned = {name: value for name, value in entry.items() if name != "hash"}
        signed = sign(unsigned | {"who": "nobody"}, head, key)
        lines.append(to_line(signed))
        head = Head(signed["seq"], signed["hash"])
    log.path.write_bytes(b"".join(lines))
    assert log.verify().intact
    assert log.verify(kept).how == "replaced"


def test_a_kept_head_stays_good_while_the_log_grows(log: AuditLog) -> None:
    kept = log.head()
    fill(log, 3)
    assert log.verify(kept).intact and log.verify(kept).lines == 13


def test_a_writer_killed_at_any_byte(log: AuditLog) -> None:
    whole = log.path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in range(1, last):
        log.path.write_bytes(whole[:-cut])
        log.append("ward-3", [], "read")
        mended, read = list(log.entries())[-2:]
        assert log.verify().intact
        assert (mended["action"], mended["seq"], read["action"]) == ("audit.mended", 10, "read")
        assert f"{last - cut} bytes" in mended["result"]


def test_a_line_that_was_changed_stops_no_writer_and_stays_named(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes().replace(b"E-10", b"E-11"))
    assert log.append("ward-3", [], "read").seq == 11
    log.path.write_bytes(log.path.read_bytes() + b"rubbish\n")
    assert log.append("ward-3", [], "read").seq == 13
    assert (log.verify().broken_line, log.verify().how) == (10, "changed")


def test_no_line_without_its_key(log: AuditLog) -> None:
    (log.path.parent / "audit.key").unlink()
    for ask in (log.head, log.verify, lambda: log.append("ward-3", [], "read")):
        with pytest.raises(AuditKeyMissing, match="restore it from a backup"):
            ask()


def test_a_full_disk_keeps_no_part_of_a_line(log: AuditLog) -> None:
    before = log.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(DiskFull, match=r"audit\.jsonl cannot take another line"):
            log.append("ward-3", [], "read")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.path.read_bytes() == before
    assert log.append("ward-3", [], "read").seq == 11


WRITER = """
import sys
from pathlib import Path
from mammo.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    print(log.append("ward", ["predict"], "score", f"E-{number}"), flush=True)
"""


def test_processes_append_at_once_and_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    command = [sys.executable, "-c", WRITER, str(path)]
    killed = subprocess.Popen([*command, "100000"], stdout=subprocess.PIPE, text=True)
    others = [subprocess.Popen([*command, "60"], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert killed.stdout is not None
    said = [killed.stdout.readline().strip() for _ in range(60)]
    os.kill(killed.pid, signal.SIGKILL)
    said += killed.communicate()[0].split()
    assert [one.wait(60) for one in others] == [0, 0]
    log = AuditLog(path)
    log.append("ward", [], "read")  # cuts off what the killed one may have left
    report = log.verify()
    assert report.intact and report.lines >= len(said) + 121
    heads = {f"{one['seq']}:{one['hash']}" for one in log.entries()}
    assert set(said) <= heads, "each line that was answered is kept"


@pytest.mark.parametrize("text", ["", "3", "3:abc", "x:" + "a" * 64, "3:" + "g" * 64])
def test_what_is_no_head(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="a line number, a colon and 64 hexadecimal digits"):
        Head.parse(text)


def test_commands(log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    run = CliRunner().invoke
    head = run(app, ["audit", "head"]).stdout.strip()
    assert (
        head == str(log.head()) == json.loads(run(app, ["audit", "head", "--json"]).stdout)["head"]
    )
    verified = run(app, ["audit", "verify", "--head", head])
    assert (verified.exit_code, verified.stdout.splitlines()[-1]) == (0, f"head {head}")
    lines = json.loads(run(app, ["audit", "show", "--last", "2", "--json"]).stdout)["lines"]
    assert [one["exam"] for one in lines] == ["E-9", "E-10"]
    assert "E-3" in (shown := run(app, ["audit", "show", "--exam", "E-3"]).stdout)
    assert "E-4" not in shown
    log.path.write_bytes(log.path.read_bytes().replace(b"E-7", b"E-8"))
    broken = run(app, ["audit", "verify"])
    assert (broken.exit_code, broken.stdout.split(":")[0]) == (1, "broken at line 7 (changed)")
    report = json.loads(run(app, ["audit", "verify", "--json"]).stdout)
    assert (report["broken_line"], report["how"], report["intact"]) == (7, "changed", False)
    assert run(app, ["audit", "verify", "--head", "rubbish"]).exit_code == 2
