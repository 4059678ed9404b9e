"""The monitor's policy file: what a programme sets about drift, and what it may be.

A site that wants other than the defaults puts ``monitor.yaml`` into its home::

    drift:
      policy: evidently          # control (default), or evidently
      evidently:
        method: wasserstein      # the settings of `MonitorConfig`, evidently_method here
        threshold: 0.1

Names inside a block are joined by ``_``, so that ``drift.evidently.method`` is
`MonitorConfig.evidently_method`. The file holds differences only; what it does not
name stays as it is. Nothing unknown and nothing out of range is passed over: a
monitor that quietly runs by another rule than its owner wrote is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from mammo.errors import SourceInvalid
from mammo.models.config_checks import require_kinds, require_known
from mammo.settings import Settings
from monitoring.config import MonitorConfig
from monitoring.drift import METHODS
from monitoring.pictures import COLORS
from monitoring.words import LEVELS

POLICY_FILE = "monitor.yaml"
"""Name of the file in the home."""
SECTION = "drift"
SHARES = frozenset(
    {
        "new_stratum_error",
        "auc_level",
        "refusal_rate",
        "evidently_threshold",
        "evidently_share",
        "outcome_share",
    }
)
"""Settings that lie in (0, 1]."""
SIGNED = frozenset({"seed", "tolerance", "max_tolerance"})
"""Numbers that may be 0; every other one must be larger."""
STRATA = ("site", "scanner", "software_version")


class _Reader(yaml.SafeLoader):
    """Reads 1e-3 as a number and ``on`` as a word, as YAML 1.2 does; YAML 1.1 does neither."""


_BOOL, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"
_Reader.yaml_implicit_resolvers = {
    first: [one for one in rules if one[0] != _BOOL]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Reader.add_implicit_resolver(_BOOL, re.compile(r"(true|false)$"), list("tf"))
_Reader.add_implicit_resolver(
    _FLOAT, re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_policy(settings: Settings) -> MonitorConfig:
    """Return the policy of ``<home>/monitor.yaml``, or the defaults where there is none.

    Raises what `read_policy_file` raises.
    """
    path = settings.home / POLICY_FILE
    return read_policy_file(path) if path.is_file() else MonitorConfig()


def read_policy_file(path: Path) -> MonitorConfig:
    """Read one policy file.

    Raises
    ------
    SourceInvalid
        It is no YAML or no mapping, has a key that does not exist (those that do are
        named, and the nearest), or a value of another kind or out of its range.
    """
    data = _read_mapping(path)
    require_known(data, [SECTION], "section")
    given = dict(_flat(data.get(SECTION) or {}))
    require_known(given, [one.name for one in fields(MonitorConfig)])
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}
    require_kinds(values, _kinds(), f"{SECTION}.")
    _require_choices(values)
    _require_ranges(values)
    return MonitorConfig.from_dict(values)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(), _Reader) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise SourceInvalid(f"{path.name} is no YAML: {told}") from error
    if not isinstance(data, dict) or not isinstance(data.get(SECTION) or {}, dict):
        raise SourceInvalid(f"{path.name}: allowed is `{SECTION}:` with settings below it")
    return data


def _flat(block: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in block.items():
        full = f"{before}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{full}_")
        else:
            yield full, value


def _kinds() -> dict[str, type | tuple[type, ...]]:
    """Return the plain type of each setting; choices are text."""
    kinds: dict[str, type | tuple[type, ...]] = {}
    for name, hint in get_type_hints(MonitorConfig).items():
        origin = get_origin(hint)
        if origin is Literal:
            kinds[name] = str
        elif origin is None or isinstance(origin, type):
            kinds[name] = origin or hint
    return kinds


def _require_choices(values: Mapping[str, Any]) -> None:
    choices: dict[str, tuple[str, ...]] = {
        name: get_args(hint)
        for name, hint in get_type_hints(MonitorConfig).items()
        if get_origin(hint) is Literal
    }
    choices["evidently_method"] = tuple(sorted(METHODS))
    for name, allowed in choices.items():
        if name in values and values[name] not in allowed:
            told = ", ".join(allowed)
            raise SourceInvalid(f"{SECTION}.{name} is {values[name]!r}; allowed are {told}")
    require_known(values.get("strata", ()), STRATA, "part of a stratum")
    require_known(values.get("levels", ()), LEVELS, "level")
    require_known(values.get("channel_groups_off", ()), COLORS, "group of channels")


def _require_ranges(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                _require_range(name, number)


def _require_range(name: str, number: float) -> None:
    high = 1.0 if name in SHARES else float("inf")
    if 0 < number <= high or (number == 0 and name in SIGNED):
        return
    allowed = "more than 0, at most 1" if name in SHARES else "more than 0"
    raise SourceInvalid(f"{SECTION}.{name} is {number!r}; allowed is {allowed}")
