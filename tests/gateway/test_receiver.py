"""C-STORE over a real network: who may, what the answer is, and who only keeps a place."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.uid import RLELossless

from bentos.gateway import inbox as inbox_module
from bentos.gateway.book import Book
from bentos.gateway.inbox import Inbox
from bentos.gateway.peers import PeersFile
from bentos.gateway.receiver import Receiver
from mammo.settings import Settings
from tests.dicom.builders import make_file
from tests.gateway.images import (
    OTHERS,
    STUDY,
    associate,
    dataset_of,
    image,
    make_home,
    require_program,
    send,
    wait_for,
)

IDLE_SECONDS = 1.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_home(tmp_path, dicom_idle_seconds=IDLE_SECONDS, dicom_associations=3)


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    yield from run(settings)


def run(settings: Settings) -> Iterator[Receiver]:
    inbox = Inbox(settings)
    with Receiver(settings, inbox, PeersFile(settings.home / "peers.yaml")) as receiver:
        yield receiver
    inbox.close()


def test_storescu_sends_a_study(receiver: Receiver, settings: Settings, tmp_path: Path) -> None:
    storescu = require_program("storescu")
    for number in (1, 2, 3, 4):
        (tmp_path / f"{number}.dcm").write_bytes(image(number))
    command = [storescu, "-aec", "MAMMO", "127.0.0.1", str(receiver.port)]
    subprocess.run([*command, *sorted(tmp_path.glob("*.dcm"))], check=True, timeout=60)
    (line,) = Book(settings.gateway_book).studies().studies
    assert (line.state, line.images, line.incident) == ("receiving", 4, False)
    sources = [one.source for one in Book(settings.gateway_book).study(line.study).images]
    assert sources == ["STORESCU"] * 4


def test_echoscu_is_answered(receiver: Receiver) -> None:
    command = [require_program("echoscu"), "-aec", "MAMMO", "127.0.0.1", str(receiver.port)]
    subprocess.run(command, check=True, timeout=60)


def test_the_data_set_is_kept_byte_for_byte(receiver: Receiver, settings: Settings) -> None:
    compressed = make_file(
        syntax=RLELossless, StudyInstanceUID=STUDY, SeriesInstanceUID="1.2", SOPInstanceUID="1.3"
    )
    association = associate(receiver.port)
    association.abort()
    from pynetdicom import AE

    entity = AE("SENDER")
    entity.add_requested_context(dataset_of(compressed).SOPClassUID, RLELossless)
    association = entity.associate("127.0.0.1", receiver.port, ae_title="MAMMO")
    assert association.send_c_store(dataset_of(compressed)).Status == 0x0000
    association.release()
    (path,) = (settings.gateway_dir / "inbox").glob("*/*.dcm")
    kept, meta = path.read_bytes(), dataset_of(path.read_bytes()).file_meta
    body = compressed[compressed.index(b"\x08\x00\x16\x00") :]
    assert kept.endswith(body)
    assert meta.TransferSyntaxUID == RLELossless


@pytest.mark.parametrize(
    ("files", "statuses"),
    [
        ([image(), image()], [0x0000, 0x0000]),
        ([image(), image(BitsStored=11)], [0x0000, 0xB006]),
        ([image(sop_class=one) for one, _ in OTHERS.values()], [0x0000] + [0xB006] * 3),
        ([image(StudyInstanceUID=None)], [0xC000]),
    ],
    ids=["same bytes", "other bytes", "other objects under one UID", "no study"],
)
def test_each_object_gets_its_status(
    files: list[bytes], statuses: list[int], receiver: Receiver
) -> None:
    assert send(receiver.port, files) == statuses


def test_a_full_disk_is_a700_and_then_success(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(inbox_module, "write_file", refuse)
        assert send(receiver.port, [image(1), image(2)]) == [0xA700, 0xA700]
    assert Book(settings.gateway_book).studies().studies == ()
    assert send(receiver.port, [image(1), image(2)]) == [0x0000, 0x0000]


def test_a_fault_of_ours_is_no_success(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"{STUDY} Secret^Name")

    monkeypatch.setattr(Inbox, "take", fail)
    assert send(receiver.port, [image()]) == [0x0110]
    told = [one.getMessage() for one in caplog.records if one.name.startswith("mammo")]
    assert told and not [one for one in told if "Secret" in one or STUDY in one]


PEERS = """
peers:
  - {name: archive, ae_title: SENDER, host: 127.0.0.1, may_send: true}
  - {name: far, ae_title: FAR, host: 192.0.2.7, may_send: true}
  - {name: deaf, ae_title: DEAF, host: 127.0.0.1, may_send: false}
"""


@pytest.mark.parametrize(
    ("calling", "called", "lets_in"),
    [
        ("SENDER", "MAMMO", True),
        ("sender", "MAMMO", False),
        ("NOBODY", "MAMMO", False),
        ("FAR", "MAMMO", False),
        ("DEAF", "MAMMO", False),
        ("SENDER", "OTHER", False),
    ],
)
def test_only_peers_are_let_in(
    calling: str, called: str, lets_in: bool, settings: Settings
) -> None:
    settings.home.mkdir()
    (settings.home / "peers.yaml").write_text(PEERS)
    (settings.home / "peers.yaml").chmod(0o600)
    for receiver in run(settings):
        association = associate(receiver.port, calling=calling, called=called)
        assert (association.is_established, association.is_rejected) == (lets_in, not lets_in)
        association.release() if lets_in else None


def silent(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def closes(connection: socket.socket, seconds: float = 10 * IDLE_SECONDS) -> bool:
    """Return True when the far side ends the connection in time."""
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def test_who_connects_and_says_nothing_is_closed(receiver: Receiver) -> None:
    assert closes(silent(receiver.port))


def test_half_a_pdu_is_not_waited_for(receiver: Receiver) -> None:
    connection = silent(receiver.port)
    connection.sendall(struct.pack(">BBL", 1, 0, 5000) + b"\0" * 100)
    assert closes(connection)


def test_a_pdu_that_trickles_is_closed(receiver: Receiver) -> None:
    connection = silent(receiver.port)
    connection.sendall(struct.pack(">BBL", 1, 0, 200_000))
    with pytest.raises(OSError):
        for _ in range(200):
            connection.sendall(b"\0")
            time.sleep(IDLE_SECONDS / 20)


def test_a_pdu_longer_than_offered_is_closed_unread(tmp_path: Path) -> None:
    with contextmanager(run)(make_home(tmp_path, dicom_idle_seconds=60.0)) as receiver:
        connection = silent(receiver.port)
        connection.sendall(struct.pack(">BBL", 4, 0, 0xFFFFFFFF))
        assert closes(connection, 20), "long before it would be for being silent"


def test_an_association_that_falls_silent_is_ended_and_told(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    association = associate(receiver.port)
    assert association.is_established
    wait_for(lambda: association.is_aborted, 10 * IDLE_SECONDS)
    wait_for(lambda: "it was silent for 1 s" in caplog.text)
    assert send(receiver.port, [image()]) == [0x0000], "its place is free"


def test_silent_callers_do_not_keep_others_out_for_long(receiver: Receiver) -> None:
    held = [silent(receiver.port) for _ in range(6)]
    wait_for(lambda: _stores(receiver.port), 20 * IDLE_SECONDS)
    for one in held:
        one.close()


def _stores(port: int) -> bool:
    association = associate(port)
    if not association.is_established:
        return False
    stored = association.send_c_store(dataset_of(image())).Status == 0x0000
    association.release()
    return stored


def test_more_associations_than_allowed_are_told_to_come_again(receiver: Receiver) -> None:
    held = [associate(receiver.port) for _ in range(3)]
    fourth = associate(receiver.port)
    assert [one.is_established for one in held] == [True] * 3
    assert fourth.is_rejected
    for one in held:
        one.abort()


def test_an_object_above_the_limit_ends_the_association(tmp_path: Path) -> None:
    settings = make_home(tmp_path, dicom_max_mb=1, dicom_idle_seconds=5)
    pixels = b"\0" * (4 * 2**20)
    large = dataset_of(image())
    large.PixelData = pixels
    for receiver in run(settings):
        association = associate(receiver.port)
        status = association.send_c_store(large)
        assert "Status" not in status
        wait_for(lambda: _refused(settings), 10)
        assert send(receiver.port, [image()]) == [0x0000]


def _refused(settings: Settings) -> bool:
    from bentos.gateway.tables import reading

    with reading(settings.gateway_book) as book:
        assert book is not None
        rows = book.execute("SELECT code FROM incidents").fetchall()
    return [one["code"] for one in rows] == ["TOO_LARGE"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's certificate and a client's, each its own authority."""
    openssl = require_program("openssl")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("server", "client"):
        subprocess.run(
            [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    return folder


@pytest.mark.parametrize(("shown", "lets_in"), [("client", True), (None, False), ("server", False)])
def test_tls_asks_for_a_certificate_of_the_client_ca(
    shown: str | None, lets_in: bool, certificates: Path, tmp_path: Path
) -> None:
    settings = make_home(
        tmp_path,
        dicom_tls_certificate=certificates / "server.pem",
        dicom_tls_key=certificates / "server.key",
        dicom_tls_client_ca=certificates / "client.pem",
        dicom_idle_seconds=5,
    )
    context = ssl.create_default_context(cafile=str(certificates / "server.pem"))
    if shown:
        context.load_cert_chain(certificates / f"{shown}.pem", certificates / f"{shown}.key")
    for receiver in run(settings):
        quiet = silent(receiver.port)  # does not hold up the others
        association = associate(receiver.port, tls_args=(context, "localhost"))
        assert association.is_established == lets_in
        if lets_in:
            assert association.send_c_store(dataset_of(image())).Status == 0x0000
            association.release()
        quiet.close()
