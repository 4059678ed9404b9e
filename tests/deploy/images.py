"""What is in an image: the packages that the extras of its Dockerfile ask for, all the way down."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"


def extras_of(image: str) -> tuple[str, ...]:
    """Return the extras of mammo that an image is built with."""
    text = (DOCKER / f"{image}.Dockerfile").read_text()
    (extras,) = re.findall(r"--editable '\.\[([\w,]+)\]'", text)
    return tuple(extras.split(","))


@cache
def closure(extras: tuple[str, ...]) -> frozenset[str]:
    """Return the names of all packages, as the installed ones tell what they need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    held: set[tuple[str, str]] = set()
    queue = [Requirement(one) for one in wanted]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in held:
                held.add((name, extra))
                queue += _needs(name, extra)
    return frozenset(name for name, _ in held)


def _needs(name: str, extra: str) -> list[Requirement]:
    try:
        told = distribution(name).requires or []
    except PackageNotFoundError:  # of another platform, or not installed for the tests
        return []
    needs = (Requirement(one) for one in told)
    return [one for one in needs if one.marker is None or one.marker.evaluate({"extra": extra})]


@cache
def modules_outside(extras: tuple[str, ...]) -> tuple[str, ...]:
    """Return the top-level modules installed here that an image of these extras lacks."""
    held = closure(extras) | {"mammo", "pip", "uv", "setuptools"}
    return tuple(
        sorted(
            module
            for module, owners in packages_distributions().items()
            if not any(canonicalize_name(owner) in held for owner in owners)
        )
    )
