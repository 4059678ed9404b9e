"""One application entity that the gateway talks to, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from bentos.gateway.peer_addresses import (
    require_address,
    require_ae_title,
    require_name,
    require_url,
    require_variable,
)
from mammo.errors import SourceInvalid
from mammo.models.config_checks import require_kinds, require_known

Kind = Literal["cad", "report", "marks"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Mammography CAD SR, Comprehensive SR by TID 1500, presentation state."""
Via = Literal["c-store", "stow"]
WAYS: tuple[Via, ...] = get_args(Via)
DICOM_PORT = 104
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class PeerTls:
    """How a peer is reached by TLS (PS3.15 annex B).

    Parameters
    ----------
    ca
        File of the authorities that may have signed the peer's certificate; the system's if None.
    certificate, key
        Our own, where the peer asks for one; both or none.
    check_name
        The certificate must name ``host``.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    check_name: bool = True


@dataclass(frozen=True)
class Peer:
    """One application entity.

    Parameters
    ----------
    name
        How messages, metrics and `mammo outbox` call it.
    ae_title
        1 to 16 characters (PS3.5 section 6.2, VR AE); "" where it is reached by STOW-RS alone.
    host, port
        Where it listens; a name or an IP address, TCP port 1 to 65535.
    may_send
        Its images are taken, from ``host`` or one of ``sends_from``.
    sends_from
        IP addresses or networks (10.1.0.0/16) that it sends from, where they are not ``host``.
    receives
        Kinds of reports that it gets; none by default.
    via, url, token_env
        By C-STORE, or by STOW-RS to the DICOMweb root ``url``, with the bearer token that
        the environment variable ``token_env`` holds.
    tls
        Of C-STORE, C-FIND and C-ECHO; of an https ``url``, ``ca`` and ``certificate``.
    timeout_seconds
        For a connection and for each answer, 1 to 600.
    """

    name: str
    ae_title: str = ""
    host: str = ""
    port: int = DICOM_PORT
    may_send: bool = False
    sends_from: tuple[str, ...] = ()
    receives: tuple[Kind, ...] = ()
    via: Via = "c-store"
    url: str = field(default="", repr=False)
    token_env: str | None = None
    tls: PeerTls | None = None
    timeout_seconds: float = TIMEOUT_SECONDS

    @classmethod
    def from_dict(cls, data: Any, folder: Path) -> Peer:
        """Build from one entry of ``peers``; files of ``tls`` are beside ``folder``'s.

        Raises SourceInvalid, which names the peer.
        """
        if not isinstance(data, Mapping):
            raise SourceInvalid(f"a peer is {data!r}; allowed is {{name, ae_title, host, …}}")
        name = data.get("name")
        require_name(name)
        try:
            require_known(data, [one.name for one in fields(cls)], "key of a peer")
            peer = cls(**dict(data) | _converted(data, folder))
            peer._check()
        except SourceInvalid as error:
            raise SourceInvalid(f"peer {name}: {error.message}") from error
        return peer

    def _check(self) -> None:
        reached = bool(self.receives) and self.via == "c-store"
        if self.may_send or reached or self.ae_title:
            require_ae_title(self.ae_title)
        if reached or (self.may_send and not self.sends_from) or self.host:
            require_address("host", self.host)
        for one in self.sends_from:
            require_address("sends_from", one)
        _require_within("port", self.port, 1, 65_535)
        _require_within("timeout_seconds", self.timeout_seconds, 1, 600)
        if self.via == "stow" or self.url:
            require_url(self.url, has_token=self.token_env is not None)
        if self.token_env is not None:
            require_variable(self.token_env)


TYPES: dict[str, type | tuple[type, ...]] = {
    "ae_title": str,
    "host": str,
    "port": int,
    "may_send": bool,
    "sends_from": list,
    "receives": list,
    "via": str,
    "url": str,
    "token_env": (str, type(None)),
    "tls": (bool, Mapping, type(None)),
    "timeout_seconds": float,
}
TLS_TYPES: dict[str, type] = {"ca": str, "certificate": str, "key": str, "check_name": bool}


def _converted(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return those values that YAML has in another form than `Peer`."""
    require_kinds(data, TYPES)
    for one in (given := data.get("receives", [])):
        if one not in KINDS:
            raise SourceInvalid(f"receives names {one!r}; allowed are {', '.join(KINDS)}")
    via = data.get("via", WAYS[0])
    if via not in WAYS:
        raise SourceInvalid(f"via is {via!r}; allowed are {', '.join(WAYS)}")
    places = tuple(str(one) for one in data.get("sends_from", []))
    tls = _tls_of(data.get("tls"), folder)
    return {"receives": tuple(dict.fromkeys(given)), "sends_from": places, "tls": tls}


def _tls_of(said: Any, folder: Path) -> PeerTls | None:
    if not said and not isinstance(said, Mapping):
        return None
    told = said if isinstance(said, Mapping) else {}
    require_known(told, TLS_TYPES, "key of tls")
    require_kinds(told, TLS_TYPES, "tls.")
    if ("certificate" in told) != ("key" in told):
        raise SourceInvalid("tls has one of certificate and key; allowed are both or none")
    places = {name: folder / value for name, value in told.items() if name != "check_name"}
    for name, place in places.items():
        if not place.is_file():
            raise SourceInvalid(f"tls.{name}: there is no file {place.name}")
    return PeerTls(**places, check_name=told.get("check_name", True))


def _require_within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SourceInvalid(f"{name} is {value!r}; allowed are {low:g} to {high:g}")
