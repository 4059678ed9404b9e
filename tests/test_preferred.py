"""Two images of one view -> the preferred one; the images of an exam -> those that count."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo import preferred
from mammo.data.index import index_from_rows
from mammo.data.listing import Labels, Reading
from mammo.exam import Laterality, Mammogram, Scanner, View, ViewPosition
from mammo.preferred import Candidate, pick_preferred, rank, suitable, suitable_rows

DAY = date(2026, 3, 2)


def image(name: str, view: str = "L CC", *quality: str, **changes: Any) -> Mammogram:
    side, position = view.split()
    given: dict[str, Any] = {"rows": 4000, "columns": 3000, "acquired_on": DAY} | changes
    return Mammogram(
        image_id=name, exam_id=given.pop("exam_id", "exam"), patient_id="patient",
        view=View(Laterality(side), ViewPosition(position)), scanner=Scanner(), site="site",
        age_years=None, sha256=name, quality=quality, **given,
    )  # fmt: skip


RULES = {
    1: [
        (image("z"), image("a", "L CC", code), code)
        for code in ("SPOT_COMPRESSION", "MAGNIFICATION", "TANGENTIAL", "CLEAVAGE",
                     "AXILLARY_TAIL", "ROLLED", "NON_STANDARD_VIEW")
    ],
    2: [(image("z"), image("a", "L CC", "PARTIAL_VIEW"), "part")],
    3: [
        (image("z"), image("a", "L CC", "SYNTHETIC_2D"), "synthetic"),
        (image("z"), image("a", "L CC", "CONTRAST_ENHANCED"), "contrast"),
    ],
    4: [
        (
            image("z", "L CC", "IMPLANT", "IMPLANT_DISPLACED"),
            image("a", "L CC", "IMPLANT"),
            "implant",
        )
    ],
    5: [
        (image("z"), image("a", "L CC", code), code)
        for code in ("LATERALITY_CONFLICT", "VIEW_CONFLICT", "ORIENTATION_CONFLICT")
    ],
    6: [(image("z"), image("a", "L CC", "LOSSY_COMPRESSED"), "lossy")],
    7: [(image("z"), image("a", "L CC", "BURNED_IN_ANNOTATION"), "text")],
    8: [
        (image("z"), image("a", acquired_on=date(2026, 3, 1)), "later"),
        (image("z"), image("a", acquired_on=None), "dated"),
    ],
    9: [(image("z"), image("a", rows=2000, columns=1500), "larger")],
    10: [(image("a"), image("z"), "name")],
}  # fmt: skip
"""Rule of the module's list -> (preferred, other, what tells them apart)."""
PAIRS = [
    pytest.param(rule, better, other, id=f"{rule}-{name}")
    for rule, pairs in RULES.items()
    for better, other, name in pairs
]


@pytest.mark.parametrize(("rule", "better", "other"), PAIRS)
def test_each_rule_tells_two_images_apart(rule: int, better: Mammogram, other: Mammogram) -> None:
    for exam in ([better, other], [other, better]):
        assert pick_preferred(exam) == {better.view: better}
    places = zip(rank(Candidate.of(better)), rank(Candidate.of(other)), strict=True)
    decided = next(number for number, (one, two) in enumerate(places, 1) if one != two)
    assert decided == rule


@pytest.mark.parametrize(("first", "second"), [(n, n + 1) for n in range(1, 10)])
def test_an_earlier_rule_outweighs_the_next(first: int, second: int) -> None:
    """The better by the earlier rule is spoilt by the later one, and still wins."""
    better, other, _ = RULES[first][0]
    _, worse, _ = RULES[second][0]
    both = tuple(dict.fromkeys((*better.quality, *worse.quality)))
    spoilt = image(
        "z" if second == 10 else better.image_id, "L CC", *both,
        acquired_on=worse.acquired_on, rows=worse.rows, columns=worse.columns,
    )  # fmt: skip
    if first == 9:
        other = image("a", rows=other.rows, columns=other.columns)
    assert pick_preferred([other, spoilt])[spoilt.view] is spoilt


def test_the_written_list_has_every_rule_in_order() -> None:
    numbers = re.findall(r"^(\d+)\. ", preferred.__doc__ or "", flags=re.M)
    assert [int(number) for number in numbers] == list(RULES)
    assert len(rank(Candidate.of(image("a")))) == len(RULES)


SUITABLE = [
    ("a screening exam", "L CC, L MLO, R CC, R MLO", [0, 1, 2, 3]),
    ("a repeat", "L CC, L CC:LOSSY_COMPRESSED, L MLO", [0, 2]),
    ("other views beside CC and MLO are left out", "L CC, L MLO, L ML, L XCCL", [0, 1]),
    ("other views where nothing else is", "R ML, R XCCL, R ML:PARTIAL_VIEW", [0, 1]),
    ("each breast for itself", "L CC, L ML, R ML", [0, 2]),
    ("a spot view does not count as a CC", "L CC:SPOT_COMPRESSION, L MLO", [1]),
    ("a spot view counts where it is alone", "L CC:SPOT_COMPRESSION", [0]),
    ("a breast in parts", "L CC:PARTIAL_VIEW, L CC:PARTIAL_VIEW, L MLO", [0, 1, 2]),
    ("a part beside the whole", "L CC:PARTIAL_VIEW, L CC, L MLO", [1, 2]),
    ("unknown projections are all kept", "L U, L U, R U, R MLO", [0, 1, 2, 3]),
    ("an unknown projection stands for ML", "L U, L ML", [0]),
    ("both forms of an implant", "L CC:IMPLANT, L CC:IMPLANT_DISPLACED", [1]),
    ("synthetic alone", "L CC:SYNTHETIC_2D, L MLO:SYNTHETIC_2D", [0, 1]),
    ("nothing", "", []),
]


def exam_of(text: str, exam_id: str = "exam") -> list[Mammogram]:
    parts = [part.strip().split(":") for part in text.split(",") if part]
    return [
        image(f"{exam_id}-{place}", part[0], *part[1:], exam_id=exam_id)
        for place, part in enumerate(parts)
    ]


def as_row(one: Mammogram) -> dict[str, Any]:
    return {
        "image_id": one.image_id, "exam_id": one.exam_id, "patient_id": one.patient_id,
        "laterality": one.view.laterality.value, "view": one.view.position.value,
        "rows": one.rows, "columns": one.columns, "acquired_on": one.acquired_on,
        "quality": "|".join(one.quality), "sha256": one.sha256, "shard": "s", "shard_row": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kept"), [row[1:] for row in SUITABLE], ids=[row[0] for row in SUITABLE]
)
def test_suitable(text: str, kept: list[int]) -> None:
    exam = exam_of(text)
    assert suitable(exam) == [exam[place] for place in kept]


def test_rows_of_the_index_give_the_same_choice() -> None:
    exams = [exam_of(text, name) for name, text, _ in SUITABLE]
    table = index_from_rows([as_row(one) for exam in exams for one in exam])
    wanted = [one.image_id for exam in exams for one in suitable(exam)]
    chosen = table[pd.Series(suitable_rows(table.to_dict("records")), dtype=bool)]
    assert chosen["image_id"].tolist() == wanted


def test_a_row_without_a_day_or_quality() -> None:
    row = as_row(image("a")) | {"acquired_on": pd.NaT, "quality": None}
    assert Candidate.of_row(row).acquired_on is None
    assert suitable_rows([row, as_row(image("b"))]) == [False, True]


def test_reading_and_index_name_the_same_facts() -> None:
    """`Candidate.of` and `of_row` agree on a row that ingest writes."""
    from mammo.data.rows import index_row
    from mammo.preprocess import Geometry, Prepared

    one = image("a", "R MLO", "SYNTHETIC_2D", "LOSSY_COMPRESSED")
    geometry = Geometry(0, 0, 1, 1, 1.0, 0, 0, 1, 1)
    pixels = np.zeros((8, 4), np.uint16)
    prepared = Prepared(pixels=pixels, geometry=geometry, features={}, quality=())
    row = index_row(Reading(one, None, Labels()), prepared, sha256="s", source="t")  # type: ignore[arg-type]
    assert Candidate.of_row(row) == Candidate.of(one)
