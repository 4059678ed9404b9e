"""Reports by STOW-RS, and the question whether one has arrived by QIDO-RS (PS3.18 10.5, 10.6).

One report a request, to the root and not to its study, so that no identifier of the
patient's study stands in an address.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.gateway.dimse_sender import tls_context
from bentos.gateway.peer import Peer
from bentos.gateway.sending_status import PeerAway, Result, result_of_status
from mammo.data.download_retry import PASSING, retry_after

if TYPE_CHECKING:
    import httpx

JSON = "application/dicom+json"
FAILED, STORED = "00081198", "00081199"
FAILURE_REASON, WARNING_REASON, INSTANCE_UID = "00081197", "00081196", "00080018"
NOBODYS_UID = "2.25.0"
"""Of no object."""
CLOSED = {
    401: "it does not know our token",
    403: "our token may not store there",
    404: "there is no DICOMweb store at this address",
    405: "there is no DICOMweb store at this address",
    407: "a proxy stands between and does not let us pass",
}
"""Statuses that are about the destination and no report: mended there or in `peers.yaml`."""


class StowLine:
    """An HTTP connection to a DICOMweb service."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def send(self, path: Path) -> Result:
        """Send one report. Raises PeerAway when no answer came: it may have arrived."""
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        content = head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        answer = self._asked("POST", "studies", content=content, headers={"Content-Type": kind})
        return _result(answer)

    def has(self, path: Path) -> bool | None:
        """Ask for the report by its own UID; None where nothing is searched here."""
        import pydicom

        return self._find(str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID))

    def searches(self) -> bool:
        """Return whether searches are answered here. Raises PeerAway."""
        return self._find(NOBODYS_UID) is not None

    def _find(self, uid: str) -> bool | None:
        answer = self._asked("GET", "instances", params={"SOPInstanceUID": uid, "limit": "1"})
        if answer.status_code == 204:
            return False
        matches = _json(answer) if answer.status_code == 200 else None
        if not isinstance(matches, list):
            return None
        return any(_first(one, INSTANCE_UID) == uid for one in matches)

    def _asked(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Return the answer, unless it is about the destination. Raises PeerAway."""
        import httpx

        try:
            answer = self._client.request(method, path, **content)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise PeerAway("PEER_UNREACHABLE", f"no connection ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise PeerAway(
                "NO_ANSWER", f"no answer ({type(error).__name__})", uncertain=method == "POST"
            ) from None
        status = answer.status_code
        if status in CLOSED or 300 <= status < 400:
            text = CLOSED.get(status, "it leads to another address: a login page or a proxy?")
            raise PeerAway(f"HTTP_{status}", text)
        if status in PASSING or status >= 500:
            raise PeerAway(
                f"HTTP_{status}",
                "it does not take it now",
                # a proxy that gave up waiting does not know what became of it
                uncertain=method == "POST" and status not in (429, 503),
                asked_seconds=retry_after(answer.headers),
            )
        return answer


@contextmanager
def open_stow(peer: Peer) -> Iterator[StowLine]:
    """Open a connection to a peer's DICOMweb root.

    Raises
    ------
    PeerAway
        The variable with the token is not set, or the files of ``tls`` cannot be used.
        Whether anybody listens shows with the first request.
    """
    import httpx

    verify: Any = True if peer.tls is None else tls_context(peer.tls)
    headers = {"Accept": JSON} | _authorization(peer)
    with httpx.Client(
        base_url=f"{peer.url.rstrip('/')}/",
        headers=headers,
        verify=verify,
        timeout=peer.timeout_seconds,
        follow_redirects=False,
    ) as client:
        yield StowLine(client)


def _authorization(peer: Peer) -> dict[str, str]:
    if peer.token_env is None:
        return {}
    token = os.environ.get(peer.token_env, "").strip()
    if not token or not (token.isascii() and token.isprintable()):
        raise PeerAway("TOKEN_MISSING", f"{peer.token_env} is not set, or holds no token")
    return {"Authorization": f"Bearer {token}"}


def _result(answer: httpx.Response) -> Result:
    """Return what an answer to a store means (PS3.18 section 10.5.3)."""
    told = _json(answer)
    failed = _item(told, FAILED)
    if failed is not None:
        reason = _number(failed, FAILURE_REASON)
        return result_of_status(reason if reason else 0xC000, "STOW")
    if answer.status_code in (200, 202):
        stored = _item(told, STORED)
        warning = None if stored is None else _number(stored, WARNING_REASON)
        return result_of_status(warning or 0x0000, "STOW")
    return Result("stuck", f"HTTP_{answer.status_code}", "it refuses the report")


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:  # some answer in XML, or with nothing; the status counts then
        return None


def _item(told: Any, tag: str) -> dict[str, Any] | None:
    """Return the first item of a sequence (DICOM JSON, PS3.18 annex F); None without one."""
    for one in told if isinstance(told, list) else [told]:
        element = one.get(tag) if isinstance(one, dict) else None
        items = element.get("Value") if isinstance(element, dict) else None
        if isinstance(items, list) and items:
            return items[0] if isinstance(items[0], dict) else {}
    return None


def _first(item: Any, tag: str) -> Any:
    element = item.get(tag) if isinstance(item, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _number(item: dict[str, Any], tag: str) -> int:
    value = _first(item, tag)
    return int(value) if isinstance(value, int) or str(value).isdecimal() else 0
