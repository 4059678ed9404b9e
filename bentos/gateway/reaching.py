"""Whether a destination is there, and lets us in: for `mammo outbox check`."""

from __future__ import annotations

from typing import Any

from bentos.gateway.dimse_sender import echo, quiet_libraries
from bentos.gateway.peer import Peer
from bentos.gateway.sending_status import PeerAway, Result
from bentos.gateway.stow_sender import open_stow


def reach(peer: Peer, ae_title: str) -> dict[str, Any]:
    """Ask a peer by C-ECHO (PS3.4 annex A), or by a search; say what it answered."""
    quiet_libraries()
    try:
        result = _by_search(peer) if peer.via == "stow" else echo(peer, ae_title)
    except PeerAway as trouble:
        result = Result("again", trouble.code, trouble.text)
    code = "REACHED" if result.arrived else result.code
    told = {"reached": result.arrived, "code": code, "text": result.text}
    return {"name": peer.name, "via": peer.via, **told}


def _by_search(peer: Peer) -> Result:
    with open_stow(peer) as line:
        if line.searches():
            return Result("sent", "SENT")
    return Result("sent", "SENT", "it answers no search: what was cut off will be sent again")
