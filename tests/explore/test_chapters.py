"""What the chapters on labels, people and bias say of sets whose truth is known."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

import pandas as pd
import pytest

from mammo.data.index import empty_index, index_from_rows
from mammo.data.query import query_frame
from mammo.explore.section import ExploreContext, Section
from tests.explore.cohorts import box, boxed, cohort, row

CONTEXT = ExploreContext("The set", None, 0)
CHAPTERS = (
    "overview", "labels", "views", "machines", "people", "readings", "missing", "conflicts",
    "annotations", "bias", "shortcut",
)  # fmt: skip


def tell(chapter: str, frame: pd.DataFrame) -> Section | None:
    with query_frame(frame) as query:
        section: Section | None = importlib.import_module(f"mammo.explore.{chapter}").build(
            query, CONTEXT
        )
    return section


def words(chapter: str, frame: pd.DataFrame) -> str:
    section = tell(chapter, frame)
    return "" if section is None else "\n".join(section.warnings + section.sentences)


SMALL_SETS: dict[str, Callable[[], pd.DataFrame]] = {
    "no rows": empty_index,
    "one row without a label": lambda: index_from_rows([row(0, 0)]),
    "one positive row": lambda: index_from_rows([row(0, 0, cancer=1, age_years=60)]),
    "three rows": lambda: index_from_rows(
        [row(0, 0, cancer=1, age_years=60), row(1, 0, "R", cancer=0), row(2, 1, cancer=0)]
    ),
    "nothing stated": lambda: index_from_rows(
        [row(n, n, None, None, site=None, scanner=None, source=None) for n in range(5)]  # type: ignore[arg-type]
    ),
    "empty texts": lambda: index_from_rows(
        [row(n, n, "U", "U", site="", scanner="", findings="") for n in range(5)]
    ),
    "all negative": lambda: cohort(60, cancer=0, age_years=55, density="B"),
    "all positive": lambda: cohort(60, cancer=1),
    "no labels": lambda: cohort(60, cancer=None, age_years=55),
    "readings without labels": lambda: cohort(
        60, cancer=None, birads=lambda p, *_: p % 3, density="B", biopsied=0
    ),
    "only abnormal": lambda: cohort(60, cancer=None, abnormal=lambda p, s, _: int(p % 3 == 0)),
    "one positive patient": lambda: cohort(60, cancer=lambda p, s, _: int(p == 0)),
    "a level per patient": lambda: cohort(60, scanner=lambda p, *_: f"Maker/{p}"),
    "broken findings": lambda: index_from_rows(
        [row(0, 0, findings="[{]"), row(1, 1, findings='[{"x_min": null}]')]
    ),
}


QUICK_SETS = ("no rows", "one positive row", "nothing stated", "readings without labels")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_tiny_sets_give_sane_sentences(chapter: str) -> None:
    _tell_all(chapter, {name: SMALL_SETS[name] for name in QUICK_SETS})


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_small_sets_give_sane_sentences(chapter: str) -> None:
    others = {name: make for name, make in SMALL_SETS.items() if name not in QUICK_SETS}
    _tell_all(chapter, others)


def _tell_all(chapter: str, sets: dict[str, Callable[[], pd.DataFrame]]) -> None:
    for name, make in sets.items():
        section = tell(chapter, make())
        if name == "no rows":
            assert section is None, f"{chapter} tells something of no rows"
        if section is None:
            continue
        for sentence in section.sentences + section.warnings:
            where = f"{chapter}, {name}: {sentence}"
            assert not re.search(r"\bnan\b|\bNone,|<NA>|\binf\b|\bNone\.", sentence), where
            assert sentence[0].isupper() or sentence[0].isdigit(), where
            assert sentence.endswith("."), where
            assert not re.search(r"\b1 (images|patients|exams|breasts|machines)\b", sentence), where
            assert "  " not in sentence, where
        for table in section.tables:
            assert all(len(cells) == len(table.columns) for cells in table.rows)
        for plot in section.plots:
            assert plot.alt, f"{chapter}, {name}: no words for {plot.title}"
            assert plot.svg.startswith("<svg"), plot.title
            assert "http://" not in plot.svg.replace("http://www.w3.org/", "")


def test_class_balance_warns_only_where_there_is_cause() -> None:
    rare = cohort(400, cancer=lambda p, s, _: int(p % 40 == 0 and s == "L"))
    even = cohort(400, cancer=lambda p, s, _: int(p % 2))
    assert "Strong imbalance: 79 negative breasts" in words("labels", rare)
    assert "imbalance" not in words("labels", even)
    assert "Only 10 patients with cancer" in words("labels", rare)
    assert "Only" not in words("labels", even)
    assert "more frequent here (50% of patients) than in screening" in words("labels", even)


def test_unlabelled_patients_are_counted_apart() -> None:
    frame = cohort(100, cancer=lambda p, s, _: None if p < 30 else int(p == 99))
    text = words("labels", frame)
    assert "1 patient of 70 with a complete label has cancer: 1.4%" in text
    assert "120 images carry no label for cancer, which leaves 60 breasts" in text
    assert "counted nowhere as negative" in text


def test_a_patient_with_one_open_breast_is_no_negative() -> None:
    frame = cohort(50, cancer=lambda p, s, _: None if s == "R" else int(p < 5))
    assert "5 patients of 5 with a complete label have cancer" in words("labels", frame)


@pytest.mark.parametrize(
    ("frame", "said", "unsaid"),
    [
        (cohort(50), "Every exam has all four screening views", "lack a screening view"),
        (cohort(50).query("view == 'MLO'"), "No exam has both CC and MLO", "Every exam has"),
        (cohort(50).query("laterality == 'L'"), "50 exams show one breast only (100%)", "Every"),
        (cohort(50).iloc[1:], "49 exams of 50 have all four", "one breast only"),
    ],
    ids=["complete", "MLO only", "one-sided", "one view short"],
)
def test_views(frame: pd.DataFrame, said: str, unsaid: str) -> None:
    text = words("views", frame)
    assert said in text
    assert unsaid not in text


@pytest.mark.parametrize(
    ("sites", "said"),
    [
        (lambda p, *_: f"site-{p % 4 // 2}", "machine is nested in site"),
        (lambda p, *_: f"site-{p // 100}", "used at more than one site"),
    ],
    ids=["nested", "crossed"],
)
def test_nesting_is_found(sites: Callable[..., str], said: str) -> None:
    frame = cohort(200, site=sites, scanner=lambda p, *_: f"Maker/{p % 4}")
    assert said in words("machines", frame)


@pytest.mark.parametrize(
    ("ages", "said"),
    [
        (lambda p, *_: 40 + p % 40, None),
        (lambda p, *_: min(89, 70 + p % 35), "everybody older into 89"),
        (lambda p, *_: 5 * round((40 + p % 41) / 5), "several such ages speak of rounding"),
        (lambda p, *_: 400 if p == 3 else 50 + p % 20, "above 110 years (400)"),
        (lambda p, *_: None, "No age is stated in any of 1,000 exams"),
        (lambda p, *_: None if p < 250 else 50 + p % 20, "250 exams (25%) state none"),
        (lambda p, s, _: 60 if s == "L" else 45, "stated ages lie more than a year apart"),
    ],
    ids=["even", "capped", "rounded", "impossible", "none", "some", "two ages"],
)
def test_ages(ages: Callable[..., int | None], said: str | None) -> None:
    text = words("people", cohort(1000, age_years=ages))
    for phrase in ("everybody older", "pile up", "above 110", "No age", "state none", "year apart"):
        assert (phrase in text) == (said is not None and phrase in said) or (
            phrase == "pile up" and said is not None
        ), text  # fmt: skip
    assert said is None or said in text


def test_older_women_with_cancer_are_noticed_and_equal_ones_are_not() -> None:
    apart = cohort(400, age_years=lambda p, s, rng: 50 + p % 7 + 12 * (p % 10 == 0))
    same = cohort(400, age_years=lambda p, s, rng: 50 + (p // 10) % 9)
    assert "Women with cancer are older" in words("people", apart)
    assert "do not differ in age beyond chance" in words("people", same)


def test_a_column_absent_at_a_site_is_not_missing_at_random() -> None:
    frame = cohort(
        200,
        site=lambda p, *_: f"site-{p % 2}",
        density=lambda p, s, _: None if p % 2 else "B",
    )
    text = words("missing", frame)
    assert "Density is missing in 50% of images: in every image of site-1" in text
    assert "not missing at random" in text
    assert "would leave out site-1 altogether" in text


def test_a_gap_by_chance_is_not_blamed_on_the_site() -> None:
    frame = cohort(
        300,
        site=lambda p, *_: f"site-{p % 2}",
        density=lambda p, s, rng: None if rng.random() < 0.4 else "B",
    )
    text = words("missing", frame)
    assert "about equally by site" in text
    assert "not missing at random" not in text


def test_a_value_stated_for_negatives_only_is_the_label_in_disguise() -> None:
    frame = cohort(
        400, birads=lambda p, s, _: 0 if p % 10 and p % 3 == 0 else None, difficult=0
    )  # fmt: skip
    assert "every one of them negative" in words("missing", frame)
    assert "BI-RADS is stated only for recalls" in words("readings", frame)


CONFLICTS: dict[str, tuple[list[dict[str, object]], str]] = {
    "cancer differs": ([{"cancer": 1}, {"cancer": 0}], "labelled both with and without cancer"),
    "invasive": ([{"cancer": 0, "invasive": 1}], "called invasive but without cancer"),
    "no biopsy": ([{"cancer": 1, "biopsied": 0}], "with cancer but without a biopsy"),
    "birads": ([{"cancer": 1, "birads": 1}], "although read as BI-RADS 1 or 2"),
    "density": ([{"density": "A"}, {"density": "D"}], "differ in density"),
    "age": ([{"age_years": 50}, {"age_years": 61}], "differ in age"),
    "implant": ([{"implant": True}, {"implant": False}], "an implant in some images"),
    "twice": ([{}, {}], "there more than once"),
}


@pytest.mark.parametrize(("facts", "said"), CONFLICTS.values(), ids=CONFLICTS)
def test_conflicts_are_found(facts: list[dict[str, object]], said: str) -> None:
    sane = [row(100 + n, n + 1, cancer=0, biopsied=0, invasive=0, birads=1) for n in range(3)]
    wrong = [row(n, 0, **one) for n, one in enumerate(facts)]
    assert said in words("conflicts", index_from_rows(sane + wrong))
    assert said not in words("conflicts", index_from_rows(sane))


def test_cancer_in_both_breasts_of_many_exams_looks_copied() -> None:
    copied = cohort(100, cancer=lambda p, s, _: int(p % 5 == 0))
    assert "copied to both sides" in words("conflicts", copied)
    assert "both breasts" not in words("conflicts", cohort(100))


def test_gaps_of_the_same_rows_are_told_once() -> None:
    frame = cohort(
        100,
        source=lambda p, *_: "old" if p % 2 else "new",
        age_years=lambda p, *_: None if p % 2 else 55,
        birads=lambda p, *_: None if p % 2 else 1,
    )
    section = tell("missing", frame)
    assert section is not None
    (warning,) = section.warnings
    assert "Age and BI-RADS do not exist for source old" in warning
    told = [sentence for sentence in section.sentences if "missing together" in sentence]
    assert len(told) == 1
    assert "in every image of old, in none of new" in told[0]


def test_two_scales_of_density_are_not_pooled() -> None:
    frame = cohort(
        80,
        source=lambda p, *_: "film" if p % 2 else "digital",
        density=lambda p, *_: "FGD"[p % 3] if p % 2 else "ABCD"[p % 4],
    )
    text = words("readings", frame)
    assert "Density is stated on two scales" in text
    assert "outside its scale" not in text
    assert "D (dense-glandular)" in text
    section = tell("bias", frame)
    assert section is not None
    (density,) = [row for row in section.tables[0].rows if row[0] == "density"]
    assert density[1] == "5"  # A and C of even patients; F, G and D of MIAS apart from them


BOXES = {
    "outside": (boxed(box(90, 10, 20, 20)), "1 box beyond the edge"),
    "tiny": (boxed(box(10, 10, 2, 2)), "1 box under 1 mm or 4 pixels"),
    "huge": (boxed(box(0, 0, 100, 90)), "1 box over half of its image"),
    "flat": (boxed(box(10, 10, 0, 5)), "1 box without an area"),
    "twice": (boxed(box(10, 10, 30, 30), box(11, 10, 30, 30)), "one lesion boxed twice"),
    "broken": ("[{]", "1 image whose findings cannot be read"),
}


@pytest.mark.parametrize(("findings", "said"), BOXES.values(), ids=BOXES)
def test_boxes_that_cannot_be_right(findings: str, said: str) -> None:
    size = {"rows": 100, "columns": 100, "spacing_mm": 0.5, "cancer": 1}
    good = row(0, 0, findings=boxed(box(10, 10, 30, 20)), **size)
    text = words("annotations", index_from_rows([good, row(1, 1, findings=findings, **size)]))
    faults = text.replace("Looked for and not found", "|").split("|")[0]
    assert said in faults
    sound = words("annotations", index_from_rows([good])).split("Looked for and not found")[0]
    assert "1 box marks findings in 1 image." in sound
    assert said not in sound


def test_positives_without_a_box_and_boxes_on_negatives() -> None:
    rows = [
        row(0, 0, cancer=1, abnormal=1),
        row(1, 1, cancer=1, abnormal=1, findings=boxed(box(1, 1, 9, 9))),
        row(2, 2, cancer=0, abnormal=1, findings=boxed(box(1, 1, 9, 9))),
        row(3, 3, cancer=0, abnormal=1),
    ]  # fmt: skip
    text = words("annotations", index_from_rows(rows))
    assert "1 image of 2 with cancer has no box" in text
    assert "1 image without cancer" in text
    assert "2 images called abnormal have no box" in text


@pytest.mark.slow
def test_a_scanner_that_betrays_the_label_is_named_and_carries_the_model() -> None:
    frame = cohort(
        500,
        scanner=lambda p, *_: f"Maker/{'b' if p % 10 == 0 or p % 7 == 0 else 'a'}",
        age_years=lambda p, s, rng: int(rng.integers(45, 75)),
    )
    assert "differs between scanners more than chance allows" in words("bias", frame)
    text = words("shortcut", frame)
    assert "The record alone, without the image, tells cancer" in text
    assert re.search(r"Scanner \(shuffled, it costs 0\.\d+\)", text)


@pytest.mark.slow
def test_a_record_that_tells_nothing_gets_no_warning() -> None:
    frame = cohort(
        400,
        seed=5,
        scanner=lambda p, *_: f"Maker/{p % 3}",
        age_years=lambda p, s, rng: int(rng.integers(45, 75)),
        cancer=lambda p, s, rng: int(rng.random() < 0.1),
    )
    for chapter in ("bias", "shortcut"):
        section = tell(chapter, frame)
        assert section is not None
        assert section.warnings == ()
    shortcut = tell("shortcut", frame)
    assert shortcut is not None
    assert "guessing (0.50)" in " ".join(shortcut.sentences)
    assert (shortcut.plots, shortcut.tables) == ((), ())  # nothing that an attribute could carry
    assert "carries" not in " ".join(shortcut.sentences)


@pytest.mark.slow
def test_the_same_set_gives_the_same_page_bytes() -> None:
    frame = cohort(120, age_years=lambda p, *_: 40 + p % 40)
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    for chapter in CHAPTERS:
        assert tell(chapter, frame) == tell(chapter, shuffled), chapter


@pytest.mark.slow
def test_no_id_of_a_figure_clashes_with_another() -> None:
    frame = cohort(
        200, age_years=lambda p, *_: 40 + p % 40, density=lambda p, *_: "ABCD"[p % 4],
        scanner=lambda p, *_: f"Maker/{p % 3}",
    )  # fmt: skip
    seen: set[str] = set()
    for chapter in CHAPTERS:
        section = tell(chapter, frame)
        for plot in section.plots if section else ():
            ids = re.findall(r'\bid="([^"]+)"', plot.svg)
            assert len(ids) == len(set(ids)), plot.title
            assert not seen & set(ids), plot.title
            seen |= set(ids)
    assert len(seen) > 50
