"""What of a release is not as in the release in service, in the words of the plan."""

from __future__ import annotations

from mammo.release import DEFAULT_SCANNER, DETECTOR_FILES, HEAD, Release

NETWORK_FILES = ("model.onnx", "encoder.onnx", HEAD, *DETECTOR_FILES)
OUTCOMES, SCORES = "outcomes", "scores"


def differences(champion: Release, release: Release) -> frozenset[str]:
    """Return the words of `mammo.changes.plan.UNCHANGED` in which the two differ.

    ``network`` is the graphs by digest and how views are joined, ``weights`` what is trained
    on from, ``points`` any operating point, ``other_points`` more than one scanner's or the
    default one. ``intended_use`` is no part of a release and never here.
    """
    moved = moved_points(champion, release)
    differs = {
        "target": champion.target != release.target,
        "preprocessing": champion.preprocess != release.preprocess,
        "architecture": champion.architecture != release.architecture,
        "network": _network(champion) != _network(release),
        "weights": _digest(champion, "weights.safetensors")
        != _digest(release, "weights.safetensors"),
        "points": bool(moved),
        "other_points": len(moved) > 1 or DEFAULT_SCANNER in moved,
    }
    return frozenset(name for name, found in differs.items() if found)


def moved_points(champion: Release, release: Release) -> list[str]:
    """Return the scanners whose operating point is not the champion's, sorted."""
    before, after = champion.operating_points, release.operating_points
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def basis_of_points(champion: Release | None, release: Release) -> str:
    """Return what a recalibrated release's point was set from: ``scores`` or ``outcomes``."""
    outcomes = release.metrics.get("calibrated_on_outcomes") or {}
    moved = [] if champion is None else moved_points(champion, release)
    scanner = moved[0] if len(moved) == 1 else outcomes.get("scanner")
    aligned = release.metrics.get("aligned") or {}  # those that no outcome has touched
    met = bool(outcomes) and outcomes.get("scanner") == scanner and scanner not in aligned
    return OUTCOMES if met else SCORES


def _network(release: Release) -> tuple[str | None, ...]:
    return (release.aggregation, *(_digest(release, name) for name in NETWORK_FILES))


def _digest(release: Release, name: str) -> str | None:
    return release.files.get(name)
