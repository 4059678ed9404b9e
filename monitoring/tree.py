"""The tree of nodes: strata, and what they are pooled into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitoring.evidence import Level
from monitoring.strata import Stratum

LEVELS: tuple[Level, ...] = ("version", "scanner", "site", "programme")


@dataclass(frozen=True)
class Node:
    """A node of the tree: its name (empty parts are pooled over), level, and its strata."""

    stratum: Stratum
    level: Level
    leaves: tuple[int, ...]


def tree_of(strata: Sequence[Stratum], levels: Sequence[str]) -> list[Node]:
    """Return the nodes over strata, in order of level; a pool of one stratum is none of its own.

    A node that would have the very strata of one below it is left out: one chart each.
    """
    found, seen = list[Node](), set[frozenset[int]]()
    for level in LEVELS:
        groups: dict[Stratum, list[int]] = {}
        for leaf, one in enumerate(strata):
            groups.setdefault(_pooled(one, level), []).append(leaf)
        for stratum, leaves in groups.items():
            wanted = level in levels or (level == "programme" and not found)
            # a scanner without a version, or a site without a scanner, has the pool's very name
            wanted = wanted and (level == "version" or stratum not in strata)
            if wanted and frozenset(leaves) not in seen:
                seen.add(frozenset(leaves))
                found.append(Node(stratum, level, tuple(leaves)))
    return found


def _pooled(one: Stratum, level: str) -> Stratum:
    if level == "version":
        return one
    if level == "scanner":
        return Stratum(one.site, one.scanner, "")
    return Stratum(one.site if level == "site" else "", "", "")


def nodes_of(parents: np.ndarray, strata: Sequence[Stratum], levels: Sequence[str]) -> list[Node]:
    """Return the nodes in the order of the saved charts, as the strata's parents tell."""
    found = dict[int, Node]()
    for one in tree_of(strata, levels):
        row = parents[one.leaves[0]]
        at = int(row[LEVELS.index(one.level)])
        found[at if at >= 0 else int(row[0])] = one  # the smallest one moved to the first place
    return [found[node] for node in sorted(found)]
