"""The rollout's policy file: through which stages a release goes, and what counts as harm.

`configs/rollout/default.yaml` is the project's; a site that wants other numbers puts
``rollout.yaml`` with the differences into its home. Nothing unknown and nothing out of
range is passed over: a guard that quietly runs by other limits than its owner wrote is
worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from mammo.errors import SourceInvalid
from mammo.models.config_checks import require_known
from mammo.project_files import project_folder
from mammo.settings import Settings

POLICY_FILE = "rollout.yaml"
"""Name of the file in the home."""
DEFAULT = project_folder("configs") / "rollout" / "default.yaml"
TRIALS = ("shadow", "canary")


@dataclass(frozen=True)
class Step:
    """One stage of the way: ``exams`` is how many the challenger must have been asked in it.

    ``percent`` is the canary's share of the exams, 1 to 100, and 0 in shadow.
    """

    stage: str
    percent: int
    exams: int

    @classmethod
    def from_dict(cls, data: Any) -> Step:
        """Build from one entry of ``stages``. Raises SourceInvalid."""
        if not isinstance(data, Mapping):
            raise SourceInvalid(f"a stage is {data!r}; allowed is {{stage, percent, exams}}")
        require_known(data, [one.name for one in fields(cls)], "key of a stage")
        step = cls(data.get("stage", ""), data.get("percent", 0), data.get("exams", 0))
        step._check()
        return step

    def _check(self) -> None:
        if self.stage not in TRIALS:
            raise SourceInvalid(f"a stage is {self.stage!r}; allowed are {', '.join(TRIALS)}")
        low, high = (1, 100) if self.stage == "canary" else (0, 0)
        if type(self.percent) is not int or not low <= self.percent <= high:
            allowed = "1 to 100" if self.stage == "canary" else "none, or 0"
            raise SourceInvalid(
                f"percent of a {self.stage} is {self.percent!r}; allowed: {allowed}"
            )
        if type(self.exams) is not int or self.exams < 1:
            raise SourceInvalid(f"exams of a {self.stage} is {self.exams!r}; allowed: 1 and more")


@dataclass(frozen=True)
class RolloutPolicy:
    """The way of a release into service, and the limits of its checks.

    Parameters
    ----------
    stages
        At least one; the champion's place follows the last.
    probation_exams
        Exams that the new champion answers with its predecessor ready, 0 for none.
    alpha_harm, alpha_clear
        Of each check: the chance that a release within the limit is taken back at any of
        the looks of a stage, and that one beyond the limit is ever cleared. In (0, 0.5].
    ask_after_days
        Days after which a person is told of a stage that is still open.
    errors_share, slow_share, disagree_share, reorder_share
        Limits of shares of exams (of pairs of exams), in (0, 1).
    slow_times
        An exam is slow that took more than so many times the other release's time; above 1.
    recall_times
        The recall rate may be the target times this, and the target over it; above 1.
    """

    stages: tuple[Step, ...]
    probation_exams: int
    alpha_harm: float
    alpha_clear: float
    ask_after_days: float
    errors_share: float
    slow_times: float
    slow_share: float
    disagree_share: float
    reorder_share: float
    recall_times: float

    def next_step(self, stage: str, percent: int, allowed: tuple[str, ...]) -> Step | None:
        """Return the step after this one, of those whose stage is allowed; None is the top.

        A stage that is on no list any more is followed by the first larger step.
        """
        way = self.way(allowed)
        for place, step in enumerate(way):
            if (step.stage, step.percent) == (stage, percent):
                return way[place + 1] if place + 1 < len(way) else None
        rank = (TRIALS.index(stage), percent)
        larger = (one for one in way if (TRIALS.index(one.stage), one.percent) > rank)
        return next(larger, None)

    def way(self, allowed: tuple[str, ...]) -> list[Step]:
        """Return the steps whose stage is allowed."""
        return [one for one in self.stages if one.stage in allowed]

    def exams_of(self, stage: str, percent: int) -> int:
        """Return how many exams a stage asks for; of one that is on no list, the most of any."""
        same = [one.exams for one in self.stages if (one.stage, one.percent) == (stage, percent)]
        return same[0] if same else max(one.exams for one in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def read_rollout_policy(settings: Settings) -> RolloutPolicy:
    """Return the project's policy with the differences of ``<home>/rollout.yaml``."""
    own = settings.home / POLICY_FILE
    return rollout_policy_from(DEFAULT, *([own] if own.is_file() else []))


def rollout_policy_from(*paths: Path) -> RolloutPolicy:
    """Build a policy of a file and of files that say where they differ.

    Raises
    ------
    SourceInvalid
        A file is no YAML or no mapping, has a key that does not exist (the nearest is
        named), or a value of another kind or out of its range.
    """
    data: dict[str, Any] = {}
    for path in paths:
        said = _read(path)
        try:
            require_known(said, [one.name for one in fields(RolloutPolicy)])
            data |= {name: _value(name, value) for name, value in said.items()}
        except SourceInvalid as error:
            raise SourceInvalid(f"{path.name}: {error.message}") from error
    return RolloutPolicy(**data)


def _read(path: Path) -> dict[str, Any]:
    try:
        said = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceInvalid(f"{path.name} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, dict):
        raise SourceInvalid(f"{path.name}: allowed is a mapping of settings to values")
    return said


RANGES: dict[str, tuple[float, float]] = {
    "probation_exams": (0, 1e6),
    "alpha_harm": (1e-9, 0.5),
    "alpha_clear": (1e-9, 0.5),
    "ask_after_days": (0, 3650),
    "errors_share": (1e-6, 0.999),
    "slow_times": (1, 1000),
    "slow_share": (1e-6, 0.999),
    "disagree_share": (1e-6, 0.999),
    "reorder_share": (1e-6, 0.999),
    "recall_times": (1.01, 1000),
}
"""Setting -> its lowest and highest value."""


def _value(name: str, value: Any) -> Any:
    if name == "stages":
        if not isinstance(value, list) or not value:
            raise SourceInvalid(f"stages is {value!r}; allowed is a list of one stage or more")
        return tuple(Step.from_dict(one) for one in value)
    low, high = RANGES[name]
    whole = name == "probation_exams"
    number = isinstance(value, int) or (isinstance(value, float) and not whole)
    if not number or isinstance(value, bool) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise SourceInvalid(f"{name} is {value!r}; allowed is {kind}, {low:g} to {high:g}")
    return value
