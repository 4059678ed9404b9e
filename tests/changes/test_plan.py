"""The plan in words and the plan for code are one; a wrong file is refused by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mammo.changes.coverage import asked_of, cover
from mammo.changes.plan import GATE_CLAUSES, KINDS, TRIGGERS
from mammo.changes.plan_file import PLAN_FILE, PLAN_PATH, plan_from, read_plan
from mammo.errors import ChangeNotCovered, PlanInvalid
from mammo.evaluation import gate, gate_golden, gate_groups, gate_newest
from mammo.settings import Settings
from tests.bentos.conftest import make_release

DOCS = Path(__file__).parents[2] / "docs" / "change_control_plan.md"


def words(cell: str) -> tuple[str, ...]:
    return () if cell.strip() == "-" else tuple(one.strip() for one in cell.split(","))


def test_words_and_code_say_the_same_clauses_and_limits() -> None:
    lines = DOCS.read_text().splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "| C" in line
    ]
    told = {row[0]: row[1:] for row in rows if re.fullmatch(r"C\d+", row[0])}
    plan = plan_from(PLAN_PATH)
    assert list(told) == list(plan.clauses)
    for name, (title, kinds, triggers, unchanged, judged, approval, stages) in told.items():
        clause = plan.clauses[name]
        assert (title, approval) == (clause.title, clause.approval), name
        assert words(kinds) == clause.kinds, name
        assert words(triggers) == clause.triggers, name
        assert words(unchanged) == clause.unchanged, name
        assert words(judged) == clause.gate, name
        way = clause.stages if clause.move in ("release", "repackaging") else ()
        assert words(stages) == way, name
    assert plan.intended_use in " ".join(" ".join(lines).split())


def test_clauses_of_the_gate_are_those_that_it_judges() -> None:
    named = {
        value
        for module in (gate, gate_golden, gate_groups, gate_newest)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    assert set(GATE_CLAUSES) == named


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_release_has_a_way_into_service(kind: str) -> None:
    plan, champion = plan_from(PLAN_PATH), make_release("r-1")
    covered = []
    for trigger in TRIGGERS:
        try:
            asked = asked_of(make_release("r-2", kind=kind), champion, trigger)
            covered.append((trigger, cover(plan, "release", asked).id))
        except ChangeNotCovered:
            continue
    assert ("manual" in dict(covered)) and not {"harm", "rollback", "rollout"} & set(dict(covered))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "clauses: {C5: {stage: [champion]}}",
            r"key in clause C5: stage \(did you mean sta",
        ),
        ("clauses: {C5: {stages: [canary]}}", r"C5: stages is \['canary'\]; allowed is \['cham"),
        ("clauses: {C5: {triggers: [drft]}}", r"in triggers of clause C5: drft \(did you mean dr"),
        ("clauses: {C5: {gate: [auc]}}", r"word in gate of clause C5: auc.* Allowed: calibration"),
        ("clauses: {C5: {gate: calibration}}", "gate is 'calibration'; allowed is a list of words"),
        ("clauses: {C5: {approval: maybe}}", "C5: approval is 'maybe'; allowed is low_power or"),
        ("clauses: {C5: {first: 2}}", "C5: first is 2; allowed is True or False"),
        ("clauses: {C5: none}", "Clause C5 of the change-control plan is no mapping"),
        ("clauses: {C50: {stages: [champion]}}", "no clause 'C50'; the plan has C1, C2"),
        ("clauses: [C5]", "below clauses a mapping"),
        ("clause: {}", r"Unknown key clause \(did you mean clauses\?\)"),
        ("version: 2", "version is 2; allowed is a text"),
        ("{", "change_control_plan.yaml is no YAML"),
        ("- a", "allowed are version, intended_use, clauses"),
        ("clauses: {C12: {move: stop}}", "no clause whose move is rollback"),
        ("clauses: {C1: {kinds: []}}", "Clause C1 does not say its kinds"),
    ],
)
def test_plan_that_says_what_it_cannot(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / PLAN_FILE).write_text(text)
    with pytest.raises(PlanInvalid, match=told):
        read_plan(Settings(home=tmp_path, _env_file=None))


def test_differences_of_a_home_change_the_digest(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    before = read_plan(settings)
    (tmp_path / PLAN_FILE).write_text(
        "clauses:\n  C6: {approval: always}\n"
        "  C15: {title: Own, move: release, kinds: [trained], triggers: [manual]}\n"
    )
    after = read_plan(settings)
    assert after.clauses["C6"].approval == "always"
    assert after.clauses["C6"].stages == before.clauses["C6"].stages
    assert list(after.clauses) == [*before.clauses, "C15"]
    assert after.sha256 != before.sha256


def test_missing_plan_covers_nothing(tmp_path: Path) -> None:
    with pytest.raises(PlanInvalid, match=r"FileNotFoundError\); without a plan no change"):
        plan_from(tmp_path / "none.yaml")
