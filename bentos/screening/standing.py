"""What stands in service: a champion, a challenger beside it, and why one was refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from mammo.patience import Patience
from mammo.release import Release
from mammo.scoring import ReadExam, Scoring


class Scorer(Protocol):
    """What the service needs of a `Screener`."""

    release: Release

    @property
    def familiarity_judged(self) -> bool:
        """True where it tells OUT_OF_DISTRIBUTION of exams unlike its reference's."""
        ...

    def same_preparation(self, other: Any) -> bool:
        """True when it can score what the other has read."""
        ...

    def read_exam(
        self,
        files: Sequence[tuple[str, bytes]],
        *,
        key: bytes,
        site: str,
        patience: Patience | None = None,
        identity: bool = False,
    ) -> ReadExam:
        """Read and prepare the files of one exam."""
        ...

    def score_read(
        self, read: ReadExam, *, patience: Patience | None = None, side_by_side: bool = True
    ) -> Scoring:
        """Score what was read."""
        ...


Load = Callable[[Path], Scorer]


@dataclass(frozen=True)
class InService:
    """A loaded release and where it came from; ``bento_tag`` is None when embedded."""

    screener: Scorer
    directory: Path
    bento_tag: str | None
    previous: str | None
    since: datetime

    @property
    def release(self) -> Release:
        """The manifest of the release."""
        return self.screener.release


@dataclass(frozen=True)
class Challenger(InService):
    """A release tried beside the champion.

    In ``shadow`` it scores the same exams and answers none (``percent`` 0); as
    ``canary`` it answers ``percent`` (1 to 100) of the exams.
    """

    stage: Literal["shadow", "canary"]
    percent: int

    def answers(self, exam_id: str) -> bool:
        """Whether this exam is one of the canary's; the same exam always gets the same word.

        The exam's place in [0, 1) is the first 8 bytes of a SHA-256 over exam
        and challenger: another challenger meets other exams, and one whose share
        grows keeps those that it had.
        """
        if self.stage != "canary":
            return False
        digest = hashlib.sha256(f"{self.release.id}\0{exam_id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < self.percent / 100


Role = Literal["champion", "canary", "standby"]
"""In which role a release answers: ``standby`` is the one before a champion on probation."""


@dataclass(frozen=True)
class Route:
    """Who scores an exam: who answers, who does where that fails, and whose score is only logged.

    ``instead`` are tried in their order, each in its role.
    """

    answering: InService
    role: Role
    shadow: InService | None
    instead: tuple[tuple[InService, Role], ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A release that the pointer names and that would not load."""

    release: str
    code: str
    message: str
    at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, the instant as ISO 8601."""
        return asdict(self) | {"at": self.at.isoformat()}


@dataclass(frozen=True)
class Following:
    """Champion, challenger and standby at one instant, replaced as a whole.

    ``standby`` is the release before, loaded while the champion is on probation.
    """

    champion: InService | None = None
    challenger: Challenger | None = None
    standby: InService | None = None

    def route(self, champion: InService, exam_id: str) -> Route:
        """Say who scores this exam, ``champion`` being there."""
        challenger = self.challenger
        back: tuple[tuple[InService, Role], ...] = (
            () if self.standby is None else ((self.standby, "standby"),)
        )
        if challenger is not None and challenger.answers(exam_id):
            return Route(challenger, "canary", None, ((champion, "champion"), *back))
        shadow = challenger if challenger is not None and challenger.stage == "shadow" else None
        return Route(champion, "champion", shadow, back)
