"""What a caller tells of an outcome, and what the service answers; see `mammo.contract`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)

from mammo.exam import Laterality, Outcome

EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
"""What `mammo validate` asks of a logged outcome too: no mammogram was digital then."""
AHEAD = timedelta(days=1)
"""By how much a caller's clock, or a day told without offset, may be ahead of ours."""


def _iso_text(value: Any) -> Any:
    """Refuse numbers, which would silently be read as seconds since 1970, "-100" among them."""
    number = isinstance(value, str) and _is_number(value)
    if number or not isinstance(value, str | datetime):
        raise ValueError("an ISO 8601 date and time is needed, such as 2026-03-01T09:00:00Z")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _in_bounds(value: datetime) -> datetime:
    """Refuse what no programme can have known: one such row would outlive every later word."""
    known_at = value if value.tzinfo else value.replace(tzinfo=UTC)
    if known_at < EARLIEST:
        raise ValueError(f"a result known before {EARLIEST:%Y-%m-%d} is of no digital mammogram")
    if known_at > datetime.now(UTC) + AHEAD:
        raise ValueError("a result cannot be known later than now, by more than a day")
    return value


Instant = Annotated[datetime, BeforeValidator(_iso_text)]
KnownAt = Annotated[Instant, AfterValidator(_in_bounds)]
SEEN = r"[^\s\x00-\x1f\x7f-\xa0\ufeff]"
"""Something that is no blank by anybody's count: the document and the service mean the same."""
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=SEEN)
]


class OutcomeIn(BaseModel):
    """What became of an exam. Without a laterality it is of the exam as a whole."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "exam": "E-0123456789abcdef",
                    "laterality": "L",
                    "cancer": True,
                    "known_at": "2026-03-01T09:00:00Z",
                    "source": "pathology",
                }
            ]
        },
    )

    exam: Name = Field(validation_alias=AliasChoices("exam", "exam_id"))
    cancer: StrictBool
    known_at: KnownAt = Field(
        description="when the result was known, from 1980 to a day after now; without offset, UTC"
    )
    source: Name = Field(description="where it comes from, such as pathology")
    laterality: Literal["L", "R"] | None = None

    def to_outcome(self) -> Outcome:
        """Return the noun."""
        side = None if self.laterality is None else Laterality(self.laterality)
        known_at = self.known_at if self.known_at.tzinfo else self.known_at.replace(tzinfo=UTC)
        return Outcome(self.exam, self.cancer, known_at, self.source, side)


class OutcomesAnswer(BaseModel):
    """How many outcomes came, how many of them were new."""

    received: int
    new: int
    repeated: int
    exams_unknown: int = Field(description="stored all the same: a result may come first")
