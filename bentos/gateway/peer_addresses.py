"""What a peer's name, AE title, address, URL and variable may be, and whether an address is its."""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from mammo.errors import SourceInvalid

AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
"""PS3.5 section 6.2, VR AE: 16 characters of the default repertoire, no backslash."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_log = logging.getLogger("mammo.gateway.peers")


def require_name(name: Any) -> None:
    """Raise SourceInvalid unless a peer may be called so."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise SourceInvalid(
            f"a peer's name is {name!r}; allowed are 1 to 64 letters, digits, dots, dashes and "
            "underscores, such as pacs"
        )


def require_ae_title(title: str) -> None:
    """Raise SourceInvalid unless this is an AE title (PS3.5 section 6.2)."""
    if not AE_TITLE.fullmatch(title) or not title.strip(" "):
        raise SourceInvalid(
            f"ae_title is {title!r}; allowed are 1 to 16 ASCII characters without backslash, not "
            "all of them blanks (in quotes, where YAML would take them for a number)"
        )


def require_address(key: str, text: str) -> None:
    """Raise SourceInvalid unless this is an IP address, a network (``sends_from``) or a name."""
    if network_of(text) is not None and (key != "host" or "/" not in text):
        return
    if key != "host" or not HOST.fullmatch(text):
        allowed = "a host's name or IP address" if key == "host" else "IP addresses and networks"
        raise SourceInvalid(f"{key} holds {text!r}; allowed: {allowed}")


def require_url(url: str, *, has_token: bool) -> None:
    """Raise SourceInvalid unless this is the root of a DICOMweb service (PS3.18).

    A token goes over plain http to this machine alone.
    """
    example = "such as https://pacs.example/dicom-web"
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise SourceInvalid(f"url is no http or https address; it is needed by stow, {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SourceInvalid(
            f"url holds an account or a query; allowed is the root alone, {example}"
        )
    here = parts.hostname == "localhost" or is_loopback(parts.hostname or "")
    if has_token and parts.scheme == "http" and not here:
        raise SourceInvalid("url is http, and the token would be read on its way; use https")


def require_variable(name: str) -> None:
    """Raise SourceInvalid unless an environment variable can be called so."""
    if not VARIABLE.fullmatch(name):
        raise SourceInvalid(
            "token_env is no name of an environment variable; the token itself does not belong "
            "into the file"
        )


def network_of(text: str) -> Network | None:
    """Return an IP address or network; None for anything else."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def is_loopback(address: str) -> bool:
    """True for an IP address of this machine's loopback."""
    return said_by("127.0.0.0/8", address) or said_by("::1", address)


def said_by(allowed: str, address: str) -> bool:
    """True when ``address`` (IP) is, or lies in, ``allowed`` (IP, network, or a host's name)."""
    found = network_of(address.split("%")[0])
    if found is None:
        return False
    network = network_of(allowed)
    networks = [network] if network is not None else _networks_of(allowed)
    return any(_lies_in(_plain(found), _plain(one)) for one in networks)


def _lies_in(address: Network, network: Network) -> bool:
    if isinstance(address, ipaddress.IPv4Network) and isinstance(network, ipaddress.IPv4Network):
        return address.subnet_of(network)
    if isinstance(address, ipaddress.IPv6Network) and isinstance(network, ipaddress.IPv6Network):
        return address.subnet_of(network)
    return False


def _plain(network: Network) -> Network:
    """Return the IPv4 address that an IPv6 socket shows as ::ffff:10.0.0.1."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.num_addresses > 1:
        return network
    return ipaddress.IPv4Network(mapped)


def _networks_of(host: str) -> list[Network]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        _log.warning("the host of a peer has no address now (%s)", type(error).__name__)
        return []
    return [one for at in found if (one := network_of(str(at[4][0]).split("%")[0])) is not None]
