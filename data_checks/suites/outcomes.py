"""Outcomes: what became of the exams, weeks or years later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import sqlalchemy as sa

from data_checks.checks import WARNING, Check, none_of, required
from data_checks.evaluate import CHUNK_ROWS, Suite
from mammo.prediction_log.tables import OUTCOMES, PREDICTIONS

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

NEVER_NULL = {
    "exam_id": "an outcome of no exam teaches nothing",
    "cancer": "unlabelled is no outcome; it must not be read as negative",
    "known_at": "the maturity of labels is counted from it",
    "source": "a biopsy weighs more than a questionnaire; who said it must be known",
    "received_at": "what was known when a decision was made must be told later",
}

PANDAS_FIRST, PANDAS_LAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1678, 2262))
"""What a nanosecond frame holds; an instant beyond it is still before 1980, or in the future."""


def outcomes_suite(*, now: datetime | None = None) -> Suite:
    """Return the suite of the table ``outcomes``."""
    soon = (now or datetime.now(UTC)) + timedelta(minutes=5)
    first = datetime(1980, 1, 1, tzinfo=UTC)
    return Suite(
        "outcomes",
        "Outcomes",
        "the outcomes",
        (
            *(required(n, f"every outcome has its {n}", why) for n, why in NEVER_NULL.items()),
            Check("cancer", "cancer is 0 or 1",
                  "a third answer is read as yes by the database", allowed=(0, 1)),
            Check("laterality", "laterality is L or R, or null for the exam as a whole",
                  "a side written otherwise joins no breast, and the label is lost",
                  allowed=("L", "R")),
            none_of("original_exam_id", "exam ids are pseudonyms",
                    "outcomes come from pathology with accession numbers; they must not stay"),
            none_of("orphan", "every outcome is of an exam that was scored or is in the index",
                    "a label that joins nothing is lost, and the recall rate looks better for it",
                    severity=WARNING),
            Check("known_at", "outcomes were known after 1980 and not in the future",
                  "an outcome of tomorrow would be used for training today", first, soon),
            Check("received_at", "outcomes were received after 1980 and not in the future",
                  "the order of what was known when is lost", first, soon),
            none_of("received_before_known", "no outcome was received before it was known",
                    "one of the clocks is wrong; maturity is counted from them",
                    severity=WARNING),
            none_of("known_before_image", "no outcome was known before the image was acquired",
                    "it belongs to an earlier exam, and makes skill look like prophecy",
                    severity=WARNING),
            none_of("known_before_score", "no outcome was known before the exam was first scored",
                    "an exam scored with its outcome at hand is no test of a screening reader",
                    severity=WARNING),
            none_of("contradicted", "outcomes of one breast at one time agree",
                    "the positive wins, whoever was right: a person has to decide",
                    severity=WARNING),
            none_of("taken_back", "no cancer is followed by an outcome without cancer",
                    "a proven cancer does not go away; the later report may be of another breast",
                    severity=WARNING),
            none_of("exam_against_breasts", "an exam free of cancer has no breast with cancer "
                    "known by then", "the label depends on which of the two is read",
                    severity=WARNING),
            none_of("repeated", "no outcome stands twice",
                    "an outcome counted twice narrows the intervals for nothing"),
            none_of("source_untidy", "source is a trimmed, printable name of at most 64 characters",
                    "free text is where names of patients and doctors come in"),
            Check("fingerprint", "fingerprints are SHA-256",
                  "they keep an outcome from being added twice", form="[0-9a-f]{64}"),
        ),
        tuple(column.name for column in OUTCOMES.columns),
        least_rows=0,
    )  # fmt: skip


def outcome_chunks(
    engine: sa.Engine, query: IndexQuery | None, rows: int = CHUNK_ROWS
) -> Iterator[pd.DataFrame]:
    """Yield the outcomes in frames of at most ``rows`` rows, beside what is known of their exams.

    Outcomes of one exam may lie anywhere: those of the frame's exams are all looked up.
    """
    last, given = 0, False
    with engine.connect() as connection:
        while True:
            found = _read(connection, OUTCOMES.c.id > last, rows)
            if found.empty and given:
                return
            others = _read(connection, OUTCOMES.c.exam_id.in_(_exams(last, rows)), None)
            yield with_outcome_facts(found, others, _exam_facts(connection, query, last, rows))
            given = True
            if found.empty:
                return
            last = int(found["id"].max())


def with_outcome_facts(
    frame: pd.DataFrame, others: pd.DataFrame, exams: pd.DataFrame
) -> pd.DataFrame:
    """Return the outcomes with one column for each fact that a row does not tell by itself.

    ``others`` are all outcomes of the same exams, ``exams`` has ``scored_at`` and
    ``acquired_on`` by ``exam_id``; an exam that is in neither log nor index is not in it.
    """
    frame = frame.copy()
    known = pd.to_datetime(frame["known_at"], utc=True)
    form = r"E-[0-9a-f]{16}"
    frame["original_exam_id"] = _flag(~frame["exam_id"].astype(str).str.fullmatch(form))
    frame["orphan"] = _flag(~frame["exam_id"].isin(exams.index))
    received = pd.to_datetime(frame["received_at"], utc=True)
    frame["received_before_known"] = _flag(received + timedelta(minutes=5) < known)
    scored = pd.to_datetime(frame["exam_id"].map(exams["scored_at"]), utc=True)
    taken = pd.to_datetime(frame["exam_id"].map(exams["acquired_on"]), utc=True)
    frame["known_before_image"] = _flag(known + timedelta(days=1) < taken)
    frame["known_before_score"] = _flag(known < scored)
    texts = frame["source"].fillna("").astype(str)
    odd = (texts != texts.str.strip()) | ~texts.map(str.isprintable) | (texts.str.len() > 64)
    frame["source_untidy"] = _flag(odd | (texts == "") | texts.str.contains(r"\^"))
    facts = _against_others(others)
    for name in ("contradicted", "taken_back", "exam_against_breasts", "repeated"):
        frame[name] = frame["id"].isin(facts[name]).astype("int64")
    return frame.assign(cancer=frame["cancer"].astype("float64"))


def _against_others(others: pd.DataFrame) -> dict[str, set[int]]:
    """Return, by fact, the ids of the outcomes of which it holds."""
    rows = others.assign(
        known_at=pd.to_datetime(others["known_at"], utc=True),
        cancer=others["cancer"].astype("float64"),
        side=others["laterality"].fillna(""),
    )
    key = ["exam_id", "side"]
    at_once = rows.groupby([*key, "known_at"])["cancer"].transform("nunique")
    same = rows.duplicated(["exam_id", "side", "cancer", "known_at", "source"])
    positive = rows["known_at"].where(rows["cancer"] == 1)
    first = positive.groupby([rows[name] for name in key]).transform("min")
    later = (rows["cancer"] == 0) & (rows["known_at"] > first)
    breast = positive.where(rows["side"] != "").groupby(rows["exam_id"]).transform("min")
    denied = (rows["side"] == "") & (rows["cancer"] == 0) & (rows["known_at"] >= breast)
    flags = {"contradicted": at_once > 1, "repeated": same, "taken_back": later,
             "exam_against_breasts": denied}  # fmt: skip
    return {name: set(rows.loc[flag, "id"].astype(int)) for name, flag in flags.items()}


def _read(connection: sa.Connection, where: Any, limit: int | None) -> pd.DataFrame:
    # cancer as the number it is stored as: the type Boolean would make True of every other one
    columns = [
        sa.cast(OUTCOMES.c.cancer, sa.Integer).label("cancer") if one.name == "cancer" else one
        for one in OUTCOMES.columns
    ]
    found = connection.execute(
        sa.select(*columns).where(where).order_by(OUTCOMES.c.id).limit(limit)
    )
    frame = pd.DataFrame(found.mappings().all(), columns=[one.name for one in OUTCOMES.columns])
    if frame["known_at"].dtype == object:  # one beyond pandas' bounds would end the validation
        frame["known_at"] = frame["known_at"].map(_within_pandas, na_action="ignore")
    return frame


def _within_pandas(at: datetime) -> datetime:
    return min(max(at, PANDAS_FIRST), PANDAS_LAST)


def _exams(last: int, rows: int) -> Any:
    part = sa.select(OUTCOMES.c.exam_id).where(OUTCOMES.c.id > last)
    return sa.select(part.order_by(OUTCOMES.c.id).limit(rows).subquery().c.exam_id)


def _exam_facts(
    connection: sa.Connection, query: IndexQuery | None, last: int, rows: int
) -> pd.DataFrame:
    first = sa.func.min(PREDICTIONS.c.scored_at).label("scored_at")
    taken = sa.func.max(PREDICTIONS.c.acquired_on).label("acquired_on")
    asked = sa.select(PREDICTIONS.c.exam_id, first, taken).group_by(PREDICTIONS.c.exam_id)
    found = connection.execute(asked.where(PREDICTIONS.c.exam_id.in_(_exams(last, rows))))
    names = ["exam_id", "scored_at", "acquired_on"]
    scored = pd.DataFrame(found.mappings().all(), columns=names).set_index("exam_id")
    if query is None:
        return scored
    wanted = list(connection.execute(_exams(last, rows)).scalars().unique())
    indexed = query.frame(
        "SELECT exam_id, max(acquired_on) AS acquired_on FROM exams "
        "WHERE list_contains(?, exam_id) GROUP BY 1", [wanted],
    ).set_index("exam_id")  # fmt: skip
    return scored.reindex(scored.index.union(indexed.index)).combine_first(indexed)


def _flag(values: Any) -> pd.Series[Any]:
    return pd.Series(values).fillna(False).astype("int64")
