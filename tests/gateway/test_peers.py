"""`peers.yaml`: what is allowed, what is refused and how, who may send, who receives."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from bentos.gateway.peers import Peers, PeersFile
from mammo.errors import SourceInvalid

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "configs" / "gateway" / "peers.example.yaml"
UNIT = "{name: unit, ae_title: UNIT, host: 10.1.4.21, may_send: true}"
PACS = "{name: pacs, ae_title: PACS, host: 10.1.4.9, port: 11112, receives: [cad]}"
WEB = "{name: web, receives: [cad], via: stow, url: 'https://a.example/dicom-web'}"


def peers_of(tmp_path: Path, *entries: str, head: str = "peers:\n") -> Peers:
    path = tmp_path / "peers.yaml"
    path.write_text(head + "".join(f"  - {one}\n" for one in entries))
    path.chmod(0o600)
    return Peers.read(path)


def test_the_example_is_valid_and_shows_every_key() -> None:
    peers = Peers.read(EXAMPLE)
    assert [one.name for one in peers.peers] == ["unit-1", "router", "pacs", "archive"]
    assert [one.name for one in peers.destinations()] == ["pacs", "archive"]
    assert [one.name for one in peers.destinations("marks")] == ["pacs"]
    keys = {*Peers.read(EXAMPLE).peers[0].__dataclass_fields__}
    assert not [key for key in keys if f"{key}:" not in EXAMPLE.read_text()]


@pytest.mark.parametrize(
    ("calling_ae", "host", "allowed"),
    [
        ("UNIT", "10.1.4.21", True),
        (" UNIT  ", "10.1.4.21", True),
        ("UNIT", "::ffff:10.1.4.21", True),
        ("unit", "10.1.4.21", False),
        ("UNIT", "10.1.4.22", False),
        ("OTHER", "10.1.4.21", False),
        ("PACS", "10.1.4.9", False),  # receives, and may not send
        ("ROUTER", "10.2.3.4", True),
        ("ROUTER", "2001:db8::7", True),
        ("ROUTER", "10.3.0.1", False),
        ("ROUTER", "10.1.4.33", False),  # sends_from stands instead of host
        ("NAMED", "127.0.0.1", True),
        ("NAMED", "10.1.4.21", False),
        ("GONE", "127.0.0.1", False),
        ("", "10.1.4.21", False),
        ("UNIT", "", False),
    ],
)
def test_who_may_send(tmp_path: Path, calling_ae: str, host: str, allowed: bool) -> None:
    router = (
        "{name: router, ae_title: ROUTER, host: 10.1.4.33, may_send: true, "
        "sends_from: [10.2.0.0/16, '2001:db8::/64']}"
    )
    named = "{name: named, ae_title: NAMED, host: localhost, may_send: true}"
    gone = "{name: gone, ae_title: GONE, host: nowhere.invalid, may_send: true}"
    assert (
        peers_of(tmp_path, UNIT, PACS, router, named, gone).may_store(calling_ae, host) is allowed
    )


def test_without_a_file_only_this_machine_may_send(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    peers = Peers.read(tmp_path / "peers.yaml")
    assert peers.may_store("ANYBODY", "127.0.0.1") and peers.may_store("ANYBODY", "::1")
    assert not peers.may_store("ANYBODY", "10.0.0.1")
    assert peers.destinations() == ()
    assert "only this machine may send" in caplog.text


def test_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    assert not peers_of(tmp_path, head="").may_store("ANYBODY", "127.0.0.1")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{ae_title: X}", r"a peer's name is None; allowed are 1 to 64"),
        ("{name: 'Anna Geheim'}", r"a peer's name is 'Anna Geheim'"),
        ("{name: a, aet: X}", r"peer a: Unknown key of a peer aet.*Allowed: ae_title"),
        ("{name: a, recieves: [cad]}", r"recieves \(did you mean receives\?\)"),
        ("{name: a, may_send: true, host: h}", r"peer a: ae_title is ''; allowed are 1 to 16"),
        ("{name: a, may_send: true, host: h, ae_title: 17_CHARACTERS_LON}", r"ae_title is '17"),
        (r"{name: a, ae_title: 'A\B'}", r"without backslash"),
        ("{name: a, ae_title: 1234}", r"ae_title is 1234; allowed is str"),
        ("{name: a, may_send: true, ae_title: A}", r"host holds ''; allowed: a host's name"),
        ("{name: a, ae_title: A, host: 10.0.0.0/8}", r"host holds '10.0.0.0/8'"),
        ("{name: a, ae_title: A, sends_from: [h.example]}", r"IP addresses and networks"),
        ("{name: a, ae_title: A, host: h, port: 0}", r"port is 0; allowed are 1 to 65535"),
        ("{name: a, receives: [pdf]}", r"receives names 'pdf'; allowed are cad, report, marks"),
        ("{name: a, receives: cad}", r"receives is 'cad'; allowed is list"),
        ("{name: a, receives: [cad], via: email}", r"via is 'email'; allowed are c-store, stow"),
        ("{name: a, receives: [cad], via: stow}", r"url is no http or https address"),
        ("{name: a, url: 'https://u:p@h/dicom-web'}", r"url holds an account or a query"),
        ("{name: a, url: 'http://h/d', token_env: T}", r"use https"),
        ("{name: a, url: 'https://h/d', token_env: 'abc.def'}", r"token itself does not belong"),
        ("{name: a, tls: {ca: none.pem}}", r"tls.ca: there is no file none.pem"),
        ("{name: a, tls: {cafile: x}}", r"Unknown key of tls cafile"),
        ("{name: a, tls: {key: x}}", r"tls has one of certificate and key"),
        ("{name: a, timeout_seconds: 0}", r"timeout_seconds is 0; allowed are 1 to 600"),
        ("just text", r"a peer is 'just text'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, entry: str, told: str) -> None:
    with pytest.raises(SourceInvalid, match=told) as caught:
        peers_of(tmp_path, entry)
    assert caught.value.message.startswith("peers.yaml: ")
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("peers: [", "this is no YAML"),
        ("- a", "a mapping with the one key peers"),
        ("peer: []", r"Unknown key peer \(did you mean peers\?\)"),
        ("peers: {a: 1}", "peers is no list"),
        (f"peers: [{PACS}, {PACS}]", "two peers are called pacs"),
    ],
)
def test_what_is_wrong_with_the_whole_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "peers.yaml").write_text(text)
    with pytest.raises(SourceInvalid, match=told):
        Peers.read(tmp_path / "peers.yaml")


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    peers_of(tmp_path, PACS)
    (tmp_path / "peers.yaml").chmod(0o666)
    with pytest.raises(SourceInvalid, match="everybody may write"):
        Peers.read(tmp_path / "peers.yaml")


def test_a_peer_by_dicomweb_needs_no_title(tmp_path: Path) -> None:
    (web,) = peers_of(tmp_path, WEB).destinations("cad")
    assert (web.via, web.ae_title, web.url) == ("stow", "", "https://a.example/dicom-web")
    assert "a.example" not in repr(web)


def test_files_of_tls_lie_beside_the_peers(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    entry = PACS[:-1] + ", tls: {ca: ca.pem, check_name: false}}"
    (pacs,) = peers_of(tmp_path, entry).destinations()
    assert pacs.tls is not None
    assert (pacs.tls.ca, pacs.tls.check_name) == (tmp_path / "ca.pem", False)
    (plain,) = peers_of(tmp_path, PACS[:-1] + ", tls: true}").destinations()
    assert plain.tls is not None and plain.tls.ca is None


def test_a_change_counts_and_a_broken_one_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    peers_of(tmp_path, UNIT)
    file = PeersFile(tmp_path / "peers.yaml")
    assert file.current().may_store("UNIT", "10.1.4.21")
    peers_of(tmp_path, UNIT, PACS)
    assert len(file.current().destinations()) == 1
    file.path.write_text("peers: [{name: a, x: 1}]")
    os.utime(file.path, ns=(1, 1))
    with caplog.at_level(logging.ERROR):
        assert len(file.current().destinations()) == 1
        assert len(file.current().destinations()) == 1
    assert len(caplog.records) == 1 and "Unknown key of a peer x" in caplog.text
