"""Labels that contradict each other within a breast, an exam or a patient's record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mammo.explore.section import ExploreContext, Section, Table
from mammo.explore.sentences import capital, count, listed, number

if TYPE_CHECKING:
    from mammo.data.query import IndexQuery

EXAMPLES = 3


@dataclass(frozen=True)
class Check:
    """One contradiction: ``sql`` gives (id, ...) of each case; ``needs`` are its columns.

    ``text`` follows the count of ``noun``; ``todo`` says what to do. ``grave``
    ones go into the summary: they make a label wrong whatever is believed.
    """

    key: str
    noun: str
    sql: str
    needs: tuple[str, ...]
    text: str
    todo: str
    grave: bool = False


_BREAST = (
    "SELECT exam_id AS id FROM exams WHERE laterality IN ('L', 'R') "
    "GROUP BY exam_id, laterality HAVING "
)
_EXAM = "SELECT exam_id AS id FROM exams GROUP BY exam_id HAVING "
CHECKS = (
    Check("cancer differs in breast", "breast", _BREAST + "count(DISTINCT cancer) > 1",
          ("cancer", "laterality"), "labelled both with and without cancer",
          "The label is of the breast: find out which row is right before training.", True),
    Check("cancer and normal", "image",
          "SELECT image_id AS id FROM exams WHERE cancer = 1 AND abnormal = 0",
          ("cancer", "abnormal"), "with cancer but called normal",
          "One of the two labels is wrong.", True),
    Check("cancer without biopsy", "breast",
          _BREAST + "max(cancer) = 1 AND max(biopsied) = 0", ("cancer", "biopsied"),
          "with cancer but without a biopsy",
          "Cancer is proven by tissue: these labels rest on something weaker, or the biopsy was "
          "done elsewhere.", True),
    Check("invasive without cancer", "breast",
          _BREAST + "max(invasive) = 1 AND max(cancer) = 0", ("cancer", "invasive"),
          "called invasive but without cancer", "Correct one of the two.", True),
    Check("difficult and cancer", "breast",
          _BREAST + "max(difficult) = 1 AND max(cancer) = 1", ("cancer", "difficult"),
          "marked as difficult negatives although they have cancer", "Drop the mark."),
    Check("BI-RADS 1 or 2 and cancer", "breast",
          _BREAST + "max(birads) IN (1, 2) AND max(cancer) = 1", ("cancer", "birads"),
          "with cancer although read as BI-RADS 1 or 2",
          "Missed or interval cancers, the most valuable test cases there are, or mistakes: "
          "look at them."),
    Check("BI-RADS differs in breast", "breast", _BREAST + "count(DISTINCT birads) > 1",
          ("birads",), "with two different BI-RADS",
          "Take the more suspicious; 0 asks for more imaging and is no low number."),
    Check("density differs in exam", "exam", _EXAM + "count(DISTINCT density) > 1",
          ("density",), "whose images differ in density",
          "Density is one letter per exam in most reports: take the denser, or the majority."),
    Check("age differs in exam", "exam", _EXAM + "count(DISTINCT age_years) > 1",
          ("age_years",), "whose images differ in age",
          "One exam may hold two women's images, or two dates under one number."),
    Check("implant differs in breast", "breast",
          _BREAST + "count(DISTINCT implant) > 1", ("implant",),
          "with an implant in some images and none in others",
          "Take it that there is one."),
    Check("site differs in exam", "exam", _EXAM + "count(DISTINCT site) > 1", ("site",),
          "whose images come from two sites", "Two exams were joined."),
)  # fmt: skip
BOTH = """SELECT exam_id AS id FROM exams WHERE cancer = 1 AND laterality IN ('L', 'R')
    GROUP BY exam_id HAVING count(DISTINCT laterality) = 2"""
TWICE = """SELECT exam_id AS id FROM exams WHERE laterality IN ('L', 'R') AND view <> 'U'
    GROUP BY exam_id, laterality, view HAVING count(*) > 1"""


def build(query: IndexQuery, context: ExploreContext) -> Section | None:
    """Return the contradictions found, and which were looked for; None without rows."""
    needed = sorted({name for check in CHECKS for name in check.needs})
    terms = ", ".join(f"count({name}) AS {name}" for name in needed)
    known = query.frame(f"SELECT count(*) AS images, {terms} FROM exams").iloc[0]
    if not known["images"]:
        return None
    possible = [check for check in CHECKS if all(known[name] for name in check.needs)]
    found = [(check, *_cases(query, check.sql)) for check in possible]
    found = [item for item in found if item[1]]
    sentences = [_sentence(check, n) for check, n, _ in found]
    sentences += _clean(possible, found) + _both(query) + _twice(query)
    warnings = tuple(_sentence(check, n) for check, n, _ in found if check.grave)
    rows = tuple((check.key, number(n), listed(ids)) for check, n, ids in found)
    table = Table(
        ("contradiction", "cases", "for example (pseudonym)"), rows, "Contradictions found"
    )
    return Section(
        "conflicts", "Label conflicts", tuple(sentences), (), (table,) if rows else (), warnings
    )


def _cases(query: IndexQuery, sql: str) -> tuple[int, list[str]]:
    counted = query.frame(f"SELECT count(*) AS n FROM ({sql})")
    n = int(counted["n"].iloc[0])
    if not n:
        return 0, []
    ids = query.frame(f"SELECT DISTINCT id FROM ({sql}) ORDER BY id LIMIT {EXAMPLES}")["id"]
    return n, [str(value) for value in ids]


def _sentence(check: Check, n: int) -> str:
    be = "is" if n == 1 else "are"
    text = check.text
    if n == 1:
        text = text.replace("although they have", "although it has")
    joined = f"{be} {text}" if text.startswith(("labelled", "called", "marked")) else text
    if joined == text:
        return f"There {be} {count(n, check.noun)} {text}. {check.todo}"
    return f"{capital(count(n, check.noun))} {joined}. {check.todo}"


def _clean(possible: list[Check], found: list[tuple[Check, int, list[str]]]) -> list[str]:
    hit = {check.key for check, _, _ in found}
    clean = [check.key for check in possible if check.key not in hit]
    out = []
    if not possible:
        out.append("The set states too little for labels to contradict each other.")
    elif clean:
        out.append(
            f"Looked for and not found: {listed(clean, 20)}."
            if found else
            f"No contradiction was found; looked for were: {listed(clean, 20)}."
        )  # fmt: skip
    skipped = [check.key for check in CHECKS if check not in possible]
    if skipped and possible:
        out.append(f"Could not be looked for, as a column is missing: {listed(skipped, 20)}.")
    return out


def _both(query: IndexQuery) -> list[str]:
    n, _ = _cases(query, BOTH)
    if not n:
        return []
    exams = int(
        query.frame("SELECT count(DISTINCT exam_id) AS n FROM exams WHERE cancer = 1")["n"].iloc[0]
    )
    text = (
        f"{capital(count(n, 'exam'))} of {number(exams)} with cancer "
        f"{'has' if n == 1 else 'have'} it in both breasts"
    )
    if n / exams > 0.2 and n > 5:
        return [
            text + ": far more than the few in a hundred in whom both are found at one time. The "
            "label was probably given to the exam and copied to both "
            "sides; train and test per exam."
        ]
    return [text + ", which happens; the two breasts of a woman are not independent."]


def _twice(query: IndexQuery) -> list[str]:
    row = query.frame(
        f"SELECT count(*) AS n, count(DISTINCT id) AS exams FROM ({TWICE})"
    ).iloc[0]  # fmt: skip
    n = int(row["n"])
    if not n:
        return []
    views, exams = count(n, "view"), count(int(row["exams"]), "exam")
    one = n == 1
    return [
        f"{capital(views)} (side and projection) in {exams} {'is' if one else 'are'} there more "
        "than once. That is usual for retakes and large breasts; choose one per view by a rule "
        "that does not know the label (`mammo` has one), or average over them."
    ]
