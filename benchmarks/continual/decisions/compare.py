"""One programme under all policies; finished ones can be kept in a file and are not run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.continual.decisions.policies import POLICIES, policy
from benchmarks.continual.decisions.programme import draw_programme
from benchmarks.continual.decisions.result import Result, summarise
from benchmarks.continual.decisions.service import run
from benchmarks.continual.decisions.skill import Judge


@dataclass(frozen=True)
class Asked:
    """What makes one comparison another: years of a programme, seed, names of policies."""

    years: int
    seed: int
    policies: tuple[str, ...]

    @classmethod
    def of(cls, years: int, seed: int, names: Sequence[str] | None = None) -> Asked:
        """Return what was asked; all policies where none is named."""
        chosen = tuple(one.name for one in POLICIES if names is None or one.name in names)
        return cls(years, seed, chosen)


def compare(number: int, asked: Asked, keep: Path | None = None) -> list[Result]:
    """Run one programme under the policies and return their results, in order."""
    programme = draw_programme(number, asked.years, asked.seed)
    judge = Judge(programme)
    results = []
    for name in asked.policies:
        kept = run(programme, policy(name), judge, asked.seed)
        results.append(summarise(programme, name, kept, judge))
    if keep is not None:
        line = {"asked": asdict(asked), "results": [one.to_dict() for one in results]}
        with keep.open("a") as file:
            file.write(json.dumps(line) + "\n")
    return results


def read_kept(path: Path, asked: Asked) -> list[Result]:
    """Return the results kept in a file, a line a programme; none where there is no file.

    Raises ValueError where the file is of other years, another seed or other policies.
    """
    if not path.exists():
        return []
    results = []
    for line in path.read_text().splitlines():
        kept = json.loads(line)
        found = Asked(**{**kept["asked"], "policies": tuple(kept["asked"]["policies"])})
        if found != asked:
            raise ValueError(f"{path.name} keeps {found}, asked was {asked}; name another file")
        results += [Result.from_dict(one) for one in kept["results"]]
    return results
