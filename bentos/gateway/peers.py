"""Who may send images here, and who gets the reports: ``<home>/peers.yaml``.

`configs/gateway/peers.example.yaml` shows every key. An AE title (PS3.8 section 7.1.1.3) is
a name and no password: anybody can say one, so a sender is known by its title and
the address that it comes from; where that is not enough, by a TLS certificate
(settings of the gateway). Without the file only this machine may send, under any
title, and nobody gets reports.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from bentos.gateway.peer import Kind, Peer
from bentos.gateway.peer_addresses import is_loopback, said_by
from mammo.errors import SourceInvalid
from mammo.models.config_checks import require_known

PEERS_FILE = "peers.yaml"
_log = logging.getLogger("mammo.gateway.peers")


@dataclass(frozen=True)
class Peers:
    """Everybody that the gateway talks to.

    ``only_loopback`` is the state without a file: this machine may send, nobody else.
    """

    peers: tuple[Peer, ...] = ()
    only_loopback: bool = False

    @classmethod
    def read(cls, path: Path) -> Peers:
        """Read the file; without one, only this machine may send, which a warning tells.

        Raises
        ------
        SourceInvalid
            It is no YAML, has a key that does not exist (the nearest is named) or a value
            out of its range, names a peer twice, or everybody may write to it.
        """
        try:
            mode, text = path.stat().st_mode, path.read_text()
        except FileNotFoundError:
            _log.warning(
                "there is no %s: only this machine may send images, and nobody gets reports; "
                "configs/gateway/peers.example.yaml shows what to write",
                path.name,
            )
            return cls(only_loopback=True)
        except (OSError, UnicodeDecodeError) as error:
            raise SourceInvalid(f"{path.name} cannot be read ({type(error).__name__})") from error
        if mode & stat.S_IWOTH:
            raise SourceInvalid(
                f"everybody may write to {path.name}, which says who gets reports with patients' "
                "names: give it mode 0600 or 0640"
            )
        try:
            return cls(_peers_of(text, path.parent))
        except SourceInvalid as error:
            raise SourceInvalid(f"{path.name}: {error.message}") from error

    def may_store(self, calling_ae: str, host: str) -> bool:
        """True when an application entity of this title may send from this IP address.

        Blanks at either end of a title do not count (PS3.8 section 9.3.2). A peer's
        ``host`` that is a name is looked up now; one that has no address lets nobody in.
        """
        if self.only_loopback:
            return is_loopback(host)
        title = calling_ae.strip(" ")
        senders = (one for one in self.peers if one.may_send and one.ae_title.strip(" ") == title)
        return any(said_by(at, host) for one in senders for at in one.sends_from or (one.host,))

    def destinations(self, kind: Kind | None = None) -> tuple[Peer, ...]:
        """Return who gets reports, or those of a kind, in the order of the file."""
        return tuple(
            one for one in self.peers if (one.receives if kind is None else kind in one.receives)
        )

    def find(self, name: str) -> Peer | None:
        """Return the peer of this name."""
        return next((one for one in self.peers if one.name == name), None)


class PeersFile:
    """The peers as the file has them now: a change counts from the next association on.

    A change that is not valid leaves the peers of before, and an error is logged once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp, self._peers = self._stamp_now(), Peers.read(path)

    def current(self) -> Peers:
        """Return the peers; costs one system call while the file is as it was."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._peers = Peers.read(self.path)
            except SourceInvalid as error:
                _log.error("the peers of before stay: %s", error.message)
        return self._peers

    def _stamp_now(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)


def _peers_of(text: str, folder: Path) -> tuple[Peer, ...]:
    try:
        said = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise SourceInvalid(f"this is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, Mapping):
        raise SourceInvalid("allowed is a mapping with the one key peers")
    require_known(said, ["peers"], "key")
    listed = said.get("peers") or []
    if not isinstance(listed, list):
        raise SourceInvalid("peers is no list; allowed is one entry for each peer")
    peers = tuple(Peer.from_dict(one, folder) for one in listed)
    names = [one.name for one in peers]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise SourceInvalid(f"two peers are called {', '.join(twice)}; a name is for one")
    return peers
