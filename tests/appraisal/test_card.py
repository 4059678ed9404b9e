"""The cards say what a release and an index hold, and name what they do not know."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammo.appraisal.card import model_card
from mammo.appraisal.card_files import write_dataset_card, write_model_card
from mammo.continual.card import card_text, write_card
from mammo.continual.derive import derive_release
from mammo.continual.scores import write_scores
from mammo.data.index import index_from_rows, write_index
from mammo.data.query import query_frame
from mammo.data.sources.registry import SOURCES
from mammo.data.sources.terms import NOT_KNOWN, terms_of
from mammo.errors import DigestMismatch, IndexMissing, ReleaseNotFound
from mammo.exam import OperatingPoint
from mammo.explore.dataset_card import build_dataset_card
from mammo.explore.markdown import render_markdown
from mammo.explore.section import ExploreContext, Section, Table
from mammo.familiarity import MIN_EXAMS
from mammo.release import Release
from mammo.settings import Settings
from tests.appraisal.tables import scores_table
from tests.bentos.releases import write_reference, write_release

HOSPITALS_OWN = {"dicom", "dicomweb"}


def by_key(sections: list[Section]) -> dict[str, Section]:
    return {one.key: one for one in sections}


def index_rows() -> pd.DataFrame:
    """Three patients: two of phantoms (one with cancer), one of a hospital, unlabelled."""
    common = {"view": "CC", "laterality": "L", "shard": "s", "shard_row": 0, "sha256": "0"}
    rows = [
        {"patient_id": "P-1", "cancer": 1, "scanner": "Phantom Aurora/Lumen 3D", "age_years": 52},
        {"patient_id": "P-2", "cancer": 0, "scanner": "Phantom Aurora/Lumen 3D", "age_years": 39},
        {"patient_id": "P-3", "cancer": None, "scanner": "Maker/A", "age_years": None},
    ]
    sources = ("rsna", "rsna", "dicom")
    return index_from_rows(
        common | row | {"source": source, "image_id": f"I-{n}", "exam_id": f"E-{n}"}
        for n, (row, source) in enumerate(zip(rows, sources, strict=True))
    )


def dataset_card() -> dict[str, Section]:
    with query_frame(index_rows()) as query:
        return by_key(build_dataset_card(query, ExploreContext("It", None, 7)))


def test_the_dataset_card_counts_patients_and_never_takes_unlabelled_for_healthy() -> None:
    tables = {one.caption: one.rows for one in dataset_card()["composition"].tables}
    assert tables["By source"] == (
        ("dicom", "1", "1", "1", "0", "1"),
        ("rsna", "2", "2", "2", "1", "0"),
    )
    assert [row[0] for row in tables["By age"]] == ["50 to 59", "not stated", "under 40"]


def test_the_dataset_card_tells_terms_missing_values_and_phantoms() -> None:
    card = dataset_card()
    terms = {row[0]: row[2] for row in card["terms"].tables[0].rows}
    assert terms["rsna (phantoms)"] == "made by this project, Apache-2.0"
    assert terms["dicom"].startswith(NOT_KNOWN)
    assert "dicom" in card["terms"].warnings[0]
    missing = dict(card["missing"].tables[0].rows)
    assert missing["density"] == "100%"
    assert missing["cancer"].startswith("33")
    assert card["uses"].warnings[0].startswith("67")
    assert all(one.startswith("Not known") for one in card["unknown"].sentences)


@pytest.mark.parametrize("source", sorted(set(SOURCES) - HOSPITALS_OWN))
def test_every_published_source_has_terms_and_a_paper(source: str) -> None:
    assert NOT_KNOWN not in terms_of(source).terms
    assert any(one.isdigit() for one in terms_of(source).cite)


def test_markdown_keeps_every_cell_and_its_bars() -> None:
    section = Section("a", "A", ("Told.",), (), (Table(("x", "y"), (("1|2", "3"),), "T"),), ("W.",))
    text = render_markdown("Name", [section])
    assert "| 1\\|2 | 3 |" in text
    assert "**Warning:** W." in text


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / "releases", "r-20260301-aaaaaaaa")


def test_a_release_without_scores_or_gate_says_so(release: Path) -> None:
    card = by_key(model_card(release))
    unknown = " ".join(card["unknown"].sentences)
    assert "subgroups" not in card
    assert "no scores were kept" in unknown
    assert "whether the gate lets it through" in unknown
    assert "no gate.json" in card["gate"].sentences[0]
    assert len(card["points"].tables[0].rows) == len(Release.read(release).operating_points)


@pytest.mark.parametrize(("exams", "lacking"), [(MIN_EXAMS - 1, True), (MIN_EXAMS, False)])
def test_a_card_tells_that_no_exam_can_be_found_foreign(
    release: Path, exams: int, lacking: bool
) -> None:
    write_reference(release, exams)
    Release.read(release).seal(release)
    unknown = " ".join(by_key(model_card(release))["unknown"].sentences)
    assert ("fewer than 100 reference exams" in unknown) is lacking
    assert ("OUT_OF_DISTRIBUTION is never told" in unknown) is lacking


def test_a_refused_release_is_warned_of_and_its_subgroups_have_sizes(release: Path) -> None:
    write_scores(release, [scores_table().assign(part="golden")])
    Release.read(release).seal(release)
    clause = {"name": "golden_auc", "state": "failed", "text": "0.40 is too low."}
    gate = {"passed": False, "failed": ["golden_auc"], "against": None, "clauses": [clause]}
    (release / "gate.json").write_text(json.dumps(gate))
    card = by_key(model_card(release, resamples=60))
    assert "golden auc" in card["gate"].warnings[0]
    assert card["gate"].tables[0].rows == (("golden auc", "failed", "0.40 is too low."),)
    assert card["subgroups"].tables[0].rows[0][0] == "all"
    small = card["small"].tables[0].rows if card["small"].tables else ()
    assert card["small"].sentences[0].startswith(str(len(small) or "no"))
    assert "no scores" not in " ".join(card["unknown"].sentences)


def test_a_card_of_a_changed_release_is_refused(release: Path) -> None:
    (release / "card.md").write_text("better than it is")
    with pytest.raises(DigestMismatch):
        model_card(release)
    with pytest.raises(ReleaseNotFound):
        model_card(release / "nowhere")


def test_the_sealed_card_is_the_same_each_time_and_warns_of_phantoms(release: Path) -> None:
    told = Release.read(release)
    assert card_text(told) == card_text(told)
    phantoms = dataclasses.replace(told, trained_on="4 mammograms (scanners: Phantom A)")
    patients = dataclasses.replace(told, trained_on="4 mammograms (scanners: Maker/A)")
    assert "must not be used on patients" in card_text(phantoms)
    assert "must not be used on patients" not in card_text(patients)


def test_both_files_are_written_and_ask_nothing_of_the_network(
    release: Path, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(IndexMissing):
        write_dataset_card(settings)
    settings.index_path.parent.mkdir(parents=True)
    write_index(index_rows(), settings.index_path)
    for card in (
        write_dataset_card(settings, to=tmp_path / "out"),
        write_model_card(settings, release, html=tmp_path / "out" / "card.html"),
    ):
        page, text = card.html.read_text(), card.markdown.read_text()
        assert "default-src 'none'" in page
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert all(one.title in text for one in card.sections)
        assert set(card.to_dict()["sections"]) == {one.key for one in card.sections}


def derived(parent: Path, metrics: dict[str, Any]) -> Path:
    """A recalibrated child with a point of its own for Maker/A, set by ``metrics``."""
    release = Release.read(parent)
    points = release.operating_points | {"Maker/A": OperatingPoint("Maker/A", 1.0, 0.1, 0.625, 0.1)}
    _, child = derive_release(
        parent, parent.parent, operating_points=points, metrics=release.metrics | metrics
    )
    return child


SCORES = {"exams": 45, "threshold": 0.625, "since": "2026-02-03T10:00:00+00:00"}
FROM_SCORES = "scores of 45 exams in service since 2026-02-03, without outcomes"
OUTCOMES = {"scanner": "Maker/A", "exams": 60, "cancers": 7}
FROM_OUTCOMES = "outcomes of 60 exams in service, 7 with cancer"


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ({"aligned": {"Maker/A": SCORES}}, FROM_SCORES),
        ({"calibrated_on_outcomes": OUTCOMES, "aligned": {}}, FROM_OUTCOMES),
        (
            {"points_by_outcomes": {"Maker/A": {"exams": 60, "cancers": 7, "before": SCORES}}},
            f"{FROM_OUTCOMES}; before that from {FROM_SCORES}",
        ),
        ({"calibrated_on_outcomes": OUTCOMES, "aligned": {"Maker/A": SCORES}}, FROM_SCORES),
        (
            {"recalibrated": {"scanner": "Maker/A", "exams": 45, "threshold": 0.625}},
            "scores of 45 exams in service, its latest, without outcomes",
        ),
    ],
    ids=["scores", "outcomes-of-an-older-mammo", "outcomes", "scores-again", "before-aligned"],
)
def test_a_recalibrated_release_tells_from_what_its_points_were_set(
    release: Path, metrics: dict[str, Any], told: str
) -> None:
    child = derived(release, metrics)
    sealed = (child / "card.md").read_text()
    assert sealed.startswith(f"# Release {child.name}\n")
    assert f"| Maker/A | 0.625 | 0.10 | {told} |" in sealed
    assert "| * | 0.500 | 0.10 | the holdout |" in sealed
    assert f"Of release {release.name}, which has the same network" in sealed
    card = by_key(model_card(child))
    rows = {row[0]: row[3] for row in card["points"].tables[0].rows}
    assert rows == {"any other": "the holdout", "Maker/A": told}
    assert f"The operating point of Maker/A was set from {told}." in card["data"].sentences
    assert card["measured"].title == "Measured before it was recalibrated"
    assert f"Of release {release.name}" in card["measured"].sentences[0]
    assert "how well calibrated" in " ".join(card["unknown"].sentences)


def test_a_child_of_a_recalibrated_release_names_who_was_measured(release: Path) -> None:
    child = derived(release, {"aligned": {"Maker/A": SCORES}})
    grandchild = derived(child, {"planted": "over-confident"})
    assert f"Of release {release.name}" in (grandchild / "card.md").read_text()
    unsaid = derived(release, {"planted": "over-confident"})
    card = by_key(model_card(unsaid))
    assert {row[3] for row in card["points"].tables[0].rows} == {"not kept"}
    assert "set on the holdout" not in " ".join(card["data"].sentences)


def test_a_trained_release_has_its_points_from_the_holdout(release: Path) -> None:
    card = by_key(model_card(release))
    assert {row[3] for row in card["points"].tables[0].rows} == {"the holdout"}
    assert "set on the holdout" in card["data"].sentences[-1]
    assert card["measured"].title == "Measured when it was made"


FORMULA = "A $\\x_$ <b>|"


def test_a_scanner_of_any_name_is_drawn_letter_for_letter(release: Path, tmp_path: Path) -> None:
    scores = scores_table()
    odd = scores["scanner"] == scores["scanner"].iloc[0]
    scores = scores.assign(part="golden", scanner=scores["scanner"].mask(odd, FORMULA))
    write_scores(release, [scores])
    points = Release.read(release).operating_points
    points |= {FORMULA: dataclasses.replace(points["*"], scanner=FORMULA)}
    sealed = dataclasses.replace(Release.read(release), operating_points=points)
    write_card(release / "card.md", sealed)
    sealed.seal(release)
    card = by_key(model_card(release, resamples=60))
    drawn = [plot.svg for section in card.values() for plot in section.plots]
    assert sum("A $\\x_$ &lt;b&gt;|" in one for one in drawn) == 2  # curves and subgroups
    made = write_model_card(Settings(home=tmp_path), release, html=tmp_path / "card.html")
    for text in (made.markdown.read_text(), (release / "card.md").read_text()):
        assert "| A \\$\\\\x\\_\\$ &lt;b>\\| |" in text and "<b>" not in text
