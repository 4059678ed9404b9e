"""The sender's threads: each destination by itself, one process alone, TLS both ways."""

from __future__ import annotations

import datetime
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bentos.gateway.outbox import Outbox
from bentos.gateway.peer import PeerTls
from bentos.gateway.sending_loop import SendingLoop
from flows.servers import free_port
from tests.gateway.pacs import Pacs, make_report, outbox_to, peer_at
from tests.gateway.test_outbox_sending import START, filled, sender_to


def wait_for(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def loop_of(outbox: Outbox, home: Path) -> SendingLoop:
    return SendingLoop(outbox, "MAMMO", home / "gateway" / "sending.lock")


def sent(outbox: Outbox, name: str = "pacs") -> int:
    return outbox.counts().get(name, {}).get("sent", 0)


def test_a_destination_that_is_away_holds_up_no_other(tmp_path: Path) -> None:
    with Pacs() as pacs:
        away = peer_at(free_port(), name="away")
        outbox = outbox_to(tmp_path, away, peer_at(pacs.port))
        with loop_of(outbox, tmp_path):
            outbox.put("study-1", 1, [make_report("cad"), make_report("report")])
            wait_for(lambda: sent(outbox) == 2)
            wait_for(lambda: bool([one for one in outbox.destinations() if one.failures]))
        assert outbox.counts()["away"] == {"waiting": 2}
    assert len(pacs.received) == 2


def test_one_process_sends_and_another_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bentos.gateway.sending_loop.TROUBLE_SECONDS", 0.1)
    with Pacs() as pacs:
        outbox = outbox_to(tmp_path, peer_at(pacs.port))
        other = outbox_to(tmp_path, peer_at(pacs.port))
        with loop_of(outbox, tmp_path) as first:
            outbox.put("study-1", 1, [make_report("report", 1)])
            wait_for(lambda: sent(outbox) == 1)
            with loop_of(other, tmp_path):
                wait_for(lambda: "another process sends the reports" in caplog.text)
                first.stop()
                other.put("study-2", 1, [make_report("report", 2)])
                wait_for(lambda: sent(other) == 2)
    assert len(pacs.received) == 2


def test_a_disk_that_refuses_stops_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the attempt cannot be written nothing is sent; when it can again, it is."""
    monkeypatch.setattr("bentos.gateway.sending_loop.TROUBLE_SECONDS", 0.1)
    with Pacs() as pacs:
        outbox = outbox_to(tmp_path, peer_at(pacs.port))
        outbox.put("study-1", 1, [make_report()])
        with outbox.book() as book:
            book.execute("PRAGMA max_page_count=1")  # SQLite's way to be full
            book.execute("CREATE TRIGGER full BEFORE UPDATE ON deliveries BEGIN "
                         "INSERT INTO deliveries SELECT NULL, 1, 1, 1, 1, 1, random(), "
                         "hex(zeroblob(1000000)), 1, 1, 1, 1, 1, 1, 1, 1, 1, 1; END")  # fmt: skip
        with loop_of(outbox, tmp_path):
            wait_for(lambda: "make room" in caplog.text)
            assert pacs.received == []
            with outbox.book() as book:
                book.execute("DROP TRIGGER full")
                book.execute("PRAGMA max_page_count=1000000")
            wait_for(lambda: sent(outbox) == 1)
    assert len(pacs.received) == 1


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for this machine that signs itself; return it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[Any] = [x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return paths


@pytest.mark.parametrize(
    ("trusted", "ours", "host", "reached"),
    [
        ("pacs", "mammo", "localhost", True),
        ("pacs", None, "localhost", False),  # it asks for our certificate
        ("mammo", "mammo", "localhost", False),  # its certificate is not of who is trusted
        ("pacs", "mammo", "127.0.0.1", False),  # its certificate names another host
    ],
)
def test_tls_proves_both(
    tmp_path: Path, trusted: str, ours: str | None, host: str, reached: bool
) -> None:
    files = {name: make_certificate(tmp_path, name) for name in ("pacs", "mammo")}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["mammo"][0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*files["pacs"])
    own = files[ours] if ours else (None, None)
    with Pacs(tls=context) as pacs:
        tls = PeerTls(files[trusted][0], *own)
        peer = peer_at(pacs.port, host=host, tls=tls, timeout_seconds=3.0)
        outbox = filled(tmp_path / "home", peer)
        assert sender_to(outbox, peer).step(START).sent == int(reached)
        assert len(pacs.received) == int(reached)
    if not reached:
        assert outbox.destinations()[0].code in ("PEER_UNREACHABLE", "PEER_REJECTS")
