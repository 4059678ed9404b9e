"""Are the stack's ports free, and if not, who has them and what to do."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import psutil

from flows.stack_services import Service, list_services
from flows.stack_state import read_state, recorded_processes
from mammo.errors import PortTaken
from mammo.settings import Settings


def require_free_ports(settings: Settings, names: Sequence[str] = ()) -> None:
    """Raise `PortTaken` naming every port that is in use by something else."""
    state = read_state(settings.home)
    ours = {p.pid for p in recorded_processes(state)} if state else set()
    chosen = [s for s in list_services(settings) if s.port and (not names or s.name in names)]
    taken = [s for s in chosen if s.port and not _is_free(settings.host, s.port)]
    foreign = [(s, _listener(s.port)) for s in taken]
    lines = [_port_line(s, owner) for s, owner in foreign if owner is None or owner.pid not in ours]
    if lines:
        raise PortTaken("; ".join(lines))


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _listener(port: int | None) -> psutil.Process | None:
    """Return the process that listens on the port, where we may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                return psutil.Process(connection.pid) if connection.pid else None
    except psutil.Error:
        return None
    return None


def _port_line(service: Service, owner: psutil.Process | None) -> str:
    by = f"process {owner.pid} ({owner.name()})" if owner else "another process"
    return (
        f"port {service.port} for {service.title} is taken by {by}: "
        f"end it, or set {service.variable} to a free port"
    )
