"""The guard of a rollout: looks at the release on trial, and moves it on, stops it, rolls back.

    python -m bentos.screening.guard        # a light loop; `mammo up` runs it

One `look` reads the pointer and the log, and does at most one thing. It remembers
nothing: killed anywhere, the next look finds the pointer and the log as they are,
finishes a move that was left half-done, and goes on.

While nothing is on trial a look reads one small file. What it takes to judge a trial
(`guard_moves`) is imported with the first one.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mammo.errors import MammoError
from mammo.pointer import read_pointer
from mammo.settings import Settings, read_settings

if TYPE_CHECKING:
    from bentos.screening.deployment import DeployReport
    from bentos.screening.guard_trial import Trial
    from mammo.prediction_log import PredictionLog

GUARD = "guard"
"""Name in the changes, and of the reader whose state in the log is the last look."""
SECONDS = 60.0
LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
"""After a move that was refused, or a look that failed, the next one waits so long."""
Did = Literal["nothing", "watched", "moved on", "promoted", "stopped", "rolled back", "settled",
              "asks"]  # fmt: skip
_log = logging.getLogger("mammo.guard")


@dataclass(frozen=True)
class Look:
    """What one look found and did.

    ``trial`` is what was looked at, None where nothing is on trial. ``asks`` is what a
    person has to decide, None where nobody is asked.
    """

    did: Did
    trial: Trial | None = None
    asks: str | None = None
    report: DeployReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        trial = None if self.trial is None else self.trial.to_dict()
        return {"did": self.did, "asks": self.asks, "trial": trial}


def is_on_trial(pointer: dict[str, Any]) -> bool:
    """Say whether there is a challenger, or a champion that is on probation."""
    return bool(pointer.get("challenger") or (pointer.get("probation") and pointer["previous"]))


def is_its_move(pointer: dict[str, Any]) -> bool:
    """Say whether the guard moved the pointer last: killed then, it has a record to write."""
    return (pointer.get("moved") or {}).get("by") == GUARD


def look(
    settings: Settings,
    *,
    wait: bool = True,
    timeout: float = SECONDS,
    check: Callable[[Path], object] | None = None,
) -> Look:
    """Look once, do at most one thing, and say what; looked again at once, it does nothing new.

    Parameters are those of `deploy_release`, for the moves. Raises what a move raises
    (StackNotRunning, DeployFailed, NotJudged, ...), SourceInvalid for a policy that
    cannot be read and LogUnavailable; the next look tries again.
    """
    pointer = read_pointer(settings.pointer_path) or {}
    if not (is_on_trial(pointer) or is_its_move(pointer)):
        return Look("nothing")
    from bentos.screening.guard_moves import look_closely

    return look_closely(settings, {"wait": wait, "timeout": timeout, "check": check})


@dataclass
class Guard:
    """Looks every two seconds until it is told to stop.

    Where pointer and log stand as at the last look nothing is read again, but for the
    time that passes: once a minute.
    """

    settings: Settings
    stopping: threading.Event = field(default_factory=threading.Event)
    looks: int = 0
    _marks: Any = None
    _told: str | None = None
    _log: PredictionLog | None = None

    def run(self) -> None:
        """Look until `stop`."""
        while not self.stopping.is_set():
            self.stopping.wait(self._step())

    def stop(self, *_: Any) -> None:
        """End `run` (also the handler of SIGTERM and SIGINT)."""
        self.stopping.set()

    def _step(self) -> float:
        """Look, where there is something new; return the seconds to wait before the next step."""
        try:
            marks = self._stand()
            if marks is None or marks == self._marks:
                self._marks = marks
                return LOOK_SECONDS
            looked = look(self.settings)
        except MammoError as refusal:
            self._tell(f"{refusal.code}: {refusal.message}")
            return PATIENCE_SECONDS
        except Exception as error:  # noqa: BLE001 - what fails once must be tried again for ever
            self._tell(f"a look failed with {type(error).__name__}")
            return PATIENCE_SECONDS
        self.looks += 1
        self._marks = marks if looked.did in ("nothing", "watched", "asks") else None
        self._tell(looked.asks)
        return LOOK_SECONDS

    def _stand(self) -> Any:
        """Return where pointer, log and the minute stand; None where there is nothing to do."""
        pointer = read_pointer(self.settings.pointer_path) or {}
        if not is_on_trial(pointer):
            return pointer["moved"]["at"] if is_its_move(pointer) else None
        if self._log is None:
            from mammo.prediction_log import PredictionLog

            self._log = PredictionLog(self.settings.log_url).create()
        return pointer, self._log.trial_marks(), int(time.monotonic() // 60)

    def _tell(self, told: str | None) -> None:
        """Log what a person should know, once."""
        if told is not None and told != self._told:
            _log.warning("%s", told)
        self._told = told


def main() -> None:
    """Run the guard of the installation in the environment until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    guard = Guard(read_settings())
    signal.signal(signal.SIGTERM, guard.stop)
    signal.signal(signal.SIGINT, guard.stop)
    guard.run()


if __name__ == "__main__":
    main()
