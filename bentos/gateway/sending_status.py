"""What a destination's status means for a report: arrived, once more, or stuck.

C-STORE statuses are of PS3.4 annex B.2.3 and PS3.7 annex C; a STOW-RS answer gives the
same numbers as Failure Reason (0008,1197) (PS3.18 section I.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Meaning = Literal["sent", "again", "full", "stuck"]
"""It arrived; this report once more, later; the destination takes nothing now; never."""


@dataclass(frozen=True)
class Result:
    """How an attempt ended; ``code`` is stable, ``text`` for a person."""

    meaning: Meaning
    code: str
    text: str = ""
    asked_seconds: float | None = None

    @property
    def arrived(self) -> bool:
        """True when the destination has the report."""
        return self.meaning == "sent"


class PeerAway(Exception):
    """A destination that cannot be reached, or does not talk to us; nothing is wrong with a report.

    ``uncertain`` is True when a report was on its way and nobody told whether it arrived.
    """

    def __init__(
        self, code: str, text: str, *, uncertain: bool = False, asked_seconds: float | None = None
    ) -> None:
        super().__init__(text)
        self.code, self.text = code, text
        self.uncertain, self.asked_seconds = uncertain, asked_seconds


SUCCESS, DUPLICATE, PROCESSING_FAILURE = 0x0000, 0x0111, 0x0110
KNOWN: dict[int, tuple[Meaning, str]] = {
    SUCCESS: ("sent", ""),
    DUPLICATE: ("sent", "it had the report already"),
    PROCESSING_FAILURE: ("again", "it could not process the report now"),
    0x0122: ("stuck", "it does not store objects of this SOP class"),
    0x0124: ("stuck", "it does not let this AE title store"),
}
"""Statuses that are no range."""
RANGES: dict[int, tuple[Meaning, str]] = {
    0xA7: ("full", "it is out of resources"),
    0xA9: ("stuck", "it finds that the report is not of its SOP class"),
    0xB0: ("sent", "it stored the report with a warning"),
    **dict.fromkeys(range(192, 208), ("stuck", "it cannot understand the report")),
}
"""By the first byte, where the rest is the peer's own."""
NO_CONTEXT = Result(
    "stuck", "NO_PRESENTATION_CONTEXT", "it accepts no objects of this SOP class (PS3.8 9.3.3.2)"
)


def result_of_status(status: int, protocol: str = "DIMSE") -> Result:
    """Return what a status (0000,0900) or Failure Reason (0008,1197) means.

    One that the Standard does not have here is no success: it makes the report stuck.
    """
    meaning, text = KNOWN.get(status) or RANGES.get(status >> 8, ("stuck", "an unknown status"))
    return Result(meaning, "SENT" if status == SUCCESS else f"{protocol}_{status:04X}", text)
