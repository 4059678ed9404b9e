"""What a process tells of its own running, to whoever watches it. Off by default.

    with telemetry.current().stage("read"):
        ...

`start` switches it on, where the installation names a place to send to
(``MAMMO_AZURE_MONITOR``). Until then every call is a null context: nothing is
imported, kept or sent. What may leave the process at all is in
`mammo.telemetry.leaving`: words of our own source, numbers, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Note = Callable[[str, str, int], None]
"""Told how a request was answered: method, template of the route, status."""


class Telemetry(Protocol):
    """Where spans, counts and log lines go."""

    @property
    def on(self) -> bool:
        """Whether anything is sent."""

    def request(self) -> AbstractContextManager[Note]:
        """Time a request; the note that is given back names it at its end."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time a stage of scoring inside the request."""

    def close(self) -> None:
        """Send what is left and end."""


class Off:
    """The one that tells nothing."""

    on = False
    _nothing: AbstractContextManager[None] = nullcontext()
    _unnoted: AbstractContextManager[Note] = nullcontext(lambda _method, _route, _status: None)

    def request(self) -> AbstractContextManager[Note]:
        """Do nothing."""
        return self._unnoted

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Do nothing."""
        return self._nothing

    def close(self) -> None:
        """Do nothing."""


_current: Telemetry = Off()


def current() -> Telemetry:
    """Return the process's telemetry."""
    return _current


def start(role: str, connection: str | None, words: Collection[str] = ()) -> Telemetry:
    """Switch telemetry on where ``connection`` says where to; return what is current then.

    Parameters
    ----------
    role
        What this process is: ``service``, ``flows``.
    connection
        Connection string of Application Insights; None leaves it off.
    words
        What may leave besides the constant texts of log lines: templates of
        routes, names of tasks.

    Raises
    ------
    SettingsInvalid
        The connection string is none.
    AzureUnset
        The extra `azure` is not installed.
    """
    global _current
    if connection and not _current.on:
        from mammo.telemetry.azure_monitor import AzureMonitor

        _current = AzureMonitor(role, connection, words)
    return _current


def stop() -> None:
    """Send what is left; telemetry is off from then on."""
    global _current
    _current.close()
    _current = Off()
