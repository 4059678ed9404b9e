"""The lines of the list of past exams, as `mammo.contract_worklist.ExamLine` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.gateway.book import StudyLine
from bentos.gateway.tables import reading
from mammo.contract import known_codes, split_codes
from mammo.quality import explain

if TYPE_CHECKING:
    from bentos.screening.work import Service

PARTLY = ("FILE_REFUSED", "MISSING_VIEW")
"""Quality codes of an exam that was scored without something: an image, or a view."""
NOTHING: dict[str, Any] = {
    "exam": None,
    "study": None,
    "incident": False,
    "code": None,
    "text": "",
    "scored_at": None,
    "received_at": None,
    "acquired_on": None,
    "site": None,
    "scanner": None,
    "release": None,
    "score": None,
    "scale": None,
    "decision": None,
    "quality": [],
    "abstention": [],
    "outcome": None,
    "has_images": False,
}
_MARKS = """
SELECT key, state, code, text, first_received_at,
    EXISTS (SELECT 1 FROM incidents n WHERE n.study = s.key) AS incident
FROM studies s WHERE key IN ({})
"""


def scored_line(
    service: Service,
    row: Mapping[str, Any],
    mark: Mapping[str, Any] | None,
    outcome: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the line of an exam of the log; ``mark`` is what the book says of its study."""
    told = NOTHING | _of_row(service, row) | {"outcome": _outcome(outcome)}
    return told if mark is None else told | dict(mark)


def study_line(
    service: Service,
    study: StudyLine,
    row: Mapping[str, Any] | None,
    outcome: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the line of a study; ``row`` is its exam's in the log, if it was ever scored."""
    told = NOTHING | (_of_row(service, row) if row else {}) | {"outcome": _outcome(outcome)}
    names = ("study", "state", "incident", "code", "text", "received_at")
    return told | {name: getattr(study, name) for name in names}


def failed_line(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line of a request that failed."""
    told = {"state": "failed", "received_at": row["at"]}
    return NOTHING | told | {name: row[name] for name in ("code", "text")}


def study_marks(path: Path, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return by key what the gateway's book says of those studies that it has."""
    with reading(path) as book:
        if book is None:
            return {}
        rows = book.execute(_MARKS.format(", ".join("?" * len(keys))), list(keys)).fetchall()
    names = ("state", "code", "text")
    return {
        row["key"]: {name: row[name] for name in names}
        | {"study": row["key"], "incident": bool(row["incident"])}
        | {"received_at": datetime.fromtimestamp(row["first_received_at"], UTC)}
        for row in rows
    }


def _of_row(service: Service, row: Mapping[str, Any]) -> dict[str, Any]:
    kept = service.results.answer(row["request_id"])
    quality = split_codes(row["quality"])
    code, text = _why_partly(quality, kept)
    return _reserves(row, kept) | {
        "exam": row["exam_id"],
        "state": "partly" if code else "scored",
        "code": code,
        "text": text,
        "scored_at": row["scored_at"],
        "acquired_on": row["acquired_on"],
        "site": row["site"],
        "scanner": row["scanner"],
        "release": row["release_id"],
        "score": row["probability"],
        "decision": "recall" if row["recall"] else "no recall",
        "quality": quality,
        # a viewer asks for the latest answer first
        "has_images": (bool(kept) or row["request_id"] is None)
        and (service.images.has(row["request_id"]) or service.images.has_exam(row["exam_id"])),
    }


def _reserves(row: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return scale and abstention; of a row of before, which lacks them, the kept answer's."""
    told = {"scale": row["scale"], "abstention": known_codes(row["abstention"])}
    return {name: answer.get(name) if one is None else one for name, one in told.items()}


def _why_partly(quality: Sequence[str], answer: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return code and sentence of what is missing; while the answer is kept, the file's own."""
    code = next((one for one in PARTLY if one in quality), None)
    if code == "FILE_REFUSED" and (refused := answer.get("refused")):
        return refused[0]["code"], refused[0]["message"]
    return code, explain(code) if code else ""


def _outcome(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    label = "cancer" if found["cancer"] else "no cancer"
    return {"label": label, "known_at": found["known_at"], "source": found["source"]}
