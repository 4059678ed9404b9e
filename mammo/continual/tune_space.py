"""The search space of a tuning study: settings of `TrainConfig` by name.

learning_rate: {low: 1.0e-4, high: 5.0e-3, log: true}
pooling: {choices: [mean, max, mean_max]}

A grid cuts each range at ``points`` places, `POINTS` where it does not say.
"""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mammo.errors import SourceInvalid, SourceNotFound
from mammo.models.config import TrainConfig
from mammo.models.config_checks import require_known

Space = dict[str, dict[str, Any]]
POINTS = 3
FIXED = {
    "name", "target", "folds", "shuffles", "golden_fraction", "holdout_fraction",
    "seed", "preprocess", "gate", "export", "auxiliary",
}  # fmt: skip
"""What decides who is judged and how: searching it would change the yardstick."""


def read_space(path: Path) -> Space:
    """Read and check a search space.

    Raises SourceNotFound without the file, SourceInvalid for a name that is no
    setting (the nearest is named) or a range that is none.
    """
    if not path.is_file():
        raise SourceNotFound(f"no search space {path.name!r}; give a YAML file of settings")
    try:
        space = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise SourceInvalid(f"{path.name} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(space, dict) or not space:
        raise SourceInvalid(f"{path.name} names no setting; give at least one, with its range")
    check_space(space)
    return space


def check_space(space: Space) -> None:
    """Raise SourceInvalid where a setting or its range cannot be searched."""
    require_known(space, [one.name for one in fields(TrainConfig)])
    for name, given in space.items():
        if name in FIXED:
            raise SourceInvalid(f"{name} cannot be searched: it decides what trials are judged by")
        _check_range(name, given)


def _check_range(name: str, given: Any) -> None:
    told = f"{name} is {given!r}; allowed is {{low, high, log, points}} or {{choices: [...]}}"
    if not isinstance(given, dict):
        raise SourceInvalid(told)
    if set(given) == {"choices"}:
        values = given["choices"]
        if not isinstance(values, list) or not values:
            raise SourceInvalid(told)
    else:
        if not {"low", "high"} <= set(given) <= {"low", "high", "log", "points"}:
            raise SourceInvalid(told)
        if type(given.get("points", POINTS)) is not int or given.get("points", POINTS) < 2:
            raise SourceInvalid(f"{told}, points a whole number of 2 or more")
        values = [given["low"], given["high"]]
        if any(isinstance(one, bool) or not isinstance(one, int | float) for one in values):
            raise SourceInvalid(
                f"{told}, both numbers (YAML reads 1e-4 as text: write 1.0e-4 or 0.0001)"
            )
        if not values[0] < values[1] or (given.get("log") and values[0] <= 0):
            raise SourceInvalid(f"{told}, low below high, and above 0 with log")
    for value in values:
        TrainConfig.from_dict({name: value})


def check_over(space: Space, base: TrainConfig) -> None:
    """Raise SourceInvalid where settings cannot be had together over a configuration.

    Every value at an end or among choices is tried with every such value of every other
    setting, the rest at their first: each is a configuration that a trial may propose,
    and what `TrainConfig` refuses are pairs at most.
    """
    ends = {name: _ends(given) for name, given in space.items()}
    first = base.to_dict() | {name: values[0] for name, values in ends.items()}
    for one, other in combinations_with_replacement(ends, 2):
        for pair in product(ends[one], ends[other]):
            changed = dict(zip((one, other), pair, strict=True))
            try:
                TrainConfig.from_dict(first | changed)
            except SourceInvalid as error:
                told = " and ".join(f"{name} {value!r}" for name, value in changed.items())
                raise SourceInvalid(
                    f"over the configuration {base.name} the space proposes {told}, which "
                    f"cannot be trained: {error.message}"
                ) from error


def _ends(given: dict[str, Any]) -> list[Any]:
    return given["choices"] if "choices" in given else [given["low"], given["high"]]


def suggest(trial: Any, space: Space) -> dict[str, Any]:
    """Return the settings that an Optuna trial proposes."""
    return {name: _suggest(trial, name, given) for name, given in space.items()}


def _suggest(trial: Any, name: str, given: dict[str, Any]) -> Any:
    if "choices" in given:
        return trial.suggest_categorical(name, given["choices"])
    low, high, log = given["low"], given["high"], bool(given.get("log", False))
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, low, high, log=log)


def grid(space: Space) -> dict[str, list[Any]]:
    """Return the values of each setting that a grid tries, ends included."""
    return {name: _cut(given) for name, given in space.items()}


def grid_size(space: Space) -> int:
    """Return how many combinations a grid has."""
    return math.prod(len(values) for values in grid(space).values())


def _cut(given: dict[str, Any]) -> list[Any]:
    if "choices" in given:
        return list(given["choices"])
    low, high = given["low"], given["high"]
    spaced = np.geomspace if given.get("log") else np.linspace
    values = np.clip(spaced(low, high, given.get("points", POINTS)), low, high)
    if isinstance(low, int) and isinstance(high, int):
        return sorted({round(float(one)) for one in values})
    return [float(one) for one in values]
