"""Reads the change-control plan: the project's file, and a home's differences over it.

    plan = read_plan(settings)
    plan.clauses["C5"].stages          # ("shadow", "canary", "champion")

Nothing unknown is passed over: a plan that quietly permits something else than its owner
wrote is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from mammo.changes.plan import (
    APPROVALS,
    GATE_CLAUSES,
    KINDS,
    MOVES,
    POINTS,
    STAGES,
    TRIGGERS,
    UNCHANGED,
    ChangePlan,
    PlanClause,
)
from mammo.errors import PlanInvalid, SourceInvalid
from mammo.models.config_checks import require_known
from mammo.project_files import project_folder
from mammo.settings import Settings

PLAN_FILE = "change_control_plan.yaml"
"""Name of the file in `configs/` and in a home."""
PLAN_PATH = project_folder("configs") / PLAN_FILE
PLAN_KEYS = ("version", "intended_use", "clauses")
NEEDED = ("title", "move", "kinds", "triggers")
_WORDS = {"kinds": KINDS, "triggers": TRIGGERS, "unchanged": UNCHANGED, "gate": GATE_CLAUSES}
_CHOICES: dict[str, tuple[object, ...]] = {
    "move": MOVES,
    "approval": APPROVALS,
    "points": (*POINTS, None),
    "first": (True, False),
    "stages": tuple(list(one) for one in STAGES),
}


def read_plan(settings: Settings) -> ChangePlan:
    """Return the plan in force: the project's, with the differences of the home's file.

    Raises what `plan_from` raises.
    """
    own = settings.home / PLAN_FILE
    return plan_from(PLAN_PATH, *([own] if own.is_file() else []))


def plan_from(path: Path, *differences: Path) -> ChangePlan:
    """Build the plan of a file and of files that say where they differ.

    Raises
    ------
    PlanInvalid
        A file is no YAML, has a key, a clause or a word that does not exist (those that do are
        named, and the nearest), a clause lacks what it must say, or nothing permits to take a
        release back.
    """
    data = _read(path)
    for one in differences:
        data = _over(data, _read(one), one.name)
    try:
        clauses = {str(name): _clause(name, said) for name, said in data["clauses"].items()}
    except SourceInvalid as error:
        raise PlanInvalid(f"The change-control plan: {error.message}") from error
    for name in ("version", "intended_use"):
        if not isinstance(data.get(name), str) or not data[name].strip():
            raise PlanInvalid(f"{path.name}: {name} is {data.get(name)!r}; allowed is a text.")
    plan = ChangePlan(data["version"], " ".join(data["intended_use"].split()), clauses)
    _require_way_back(plan)
    return plan


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
        if not isinstance(data, dict) or not isinstance(data.get("clauses", {}), dict):
            raise PlanInvalid(
                f"{path.name}: allowed are {', '.join(PLAN_KEYS)}, and below clauses a mapping "
                "from a clause's id to what it says."
            )
        require_known(data, PLAN_KEYS, "key")
    except OSError as error:
        raise PlanInvalid(
            f"The change-control plan {path.name} cannot be read ({type(error).__name__}); without "
            "a plan no change is covered."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanInvalid(f"{path.name} is no YAML: {' '.join(str(error).split())}") from error
    except SourceInvalid as error:
        raise PlanInvalid(f"{path.name}: {error.message}") from error
    return {"clauses": {}} | data


def _over(base: Mapping[str, Any], other: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Lay a file's differences over the plan, clause by clause and key by key.

    A clause that the plan does not have must say all that `NEEDED` names.
    """
    merged = dict(base["clauses"])
    for clause, said in other["clauses"].items():
        new = clause not in merged
        if new and not (isinstance(said, dict) and set(NEEDED) <= set(said)):
            raise PlanInvalid(
                f"{name}: there is no clause {clause!r}; the plan has {', '.join(merged)}. A new "
                f"one says its {', '.join(NEEDED)}."
            )
        merged[clause] = {**merged.get(clause, {}), **said} if isinstance(said, dict) else said
    return {**base, **other, "clauses": merged}


def _clause(name: object, said: Any) -> PlanClause:
    if not isinstance(said, dict):
        raise PlanInvalid(f"Clause {name} of the change-control plan is no mapping.")
    known = [one.name for one in fields(PlanClause) if one.name != "id"]
    require_known(said, known, f"key in clause {name}:")
    lacking = [one for one in NEEDED if not said.get(one)]
    if lacking:
        raise PlanInvalid(f"Clause {name} does not say its {', '.join(lacking)}.")
    for key, words in _WORDS.items():
        _require_words(name, key, said.get(key, []), words)
    for key, choices in _CHOICES.items():
        if key in said and said[key] not in choices:
            allowed = " or ".join(str(one) for one in choices)
            raise PlanInvalid(f"Clause {name}: {key} is {said[key]!r}; allowed is {allowed}.")
    return PlanClause.from_dict({"id": str(name), **said})


def _require_words(name: object, key: str, found: Any, words: tuple[str, ...]) -> None:
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise PlanInvalid(f"Clause {name}: {key} is {found!r}; allowed is a list of words.")
    require_known(found, words, f"word in {key} of clause {name}:")


def _require_way_back(plan: ChangePlan) -> None:
    """A plan that permits a release must permit to take it back."""
    lacking = [one for one in ("rollback", "stop") if not plan.for_move(one)]
    if lacking:
        raise PlanInvalid(
            f"The plan has no clause whose move is {' or '.join(lacking)}: what goes into service "
            "must be able to go again."
        )
