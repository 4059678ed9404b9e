"""Whether a release works as a part of the system, whatever it says of cancer.

What the ML test score asks of a model before it serves (Breck et al., IEEE Big Data 2017,
tests of infrastructure), for a release: it is whole and signed, repeats itself bit for bit,
answers alike alone and among others, survives images that no detector makes, and has a
usable operating point for every scanner that the champion knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mammo.continual.golden import golden_tensor
from mammo.errors import MammoError
from mammo.evaluation.verdict import Check
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings
from mammo.signing import require_signature, trusted_keys

LOGITS = np.linspace(-8.0, 8.0, 65)


def infrastructure_checks(
    settings: Settings, directory: Path, champion: Release | None
) -> list[Check]:
    """Return every check of the release in a folder; one that cannot be loaded fails the rest."""
    checks = [_tried("whole", lambda: _whole(directory)), _signed(settings, directory)]
    try:
        screener = Screener.load(directory)
    except MammoError as error:
        return [*checks, Check("loads", False, f"it does not load: {error.message}")]
    release = screener.release
    return [*checks, *_network_checks(screener), _points(release), _scanners(release, champion)]


def _whole(directory: Path) -> str:
    Release.read(directory, verify=True)
    return "every file has the digest of the manifest"


def _signed(settings: Settings, directory: Path) -> Check:
    if not settings.require_signature:
        return Check("signed", True, "signatures are switched off (MAMMO_REQUIRE_SIGNATURE)")

    def check() -> str:
        release = Release.read(directory)
        trusted = trusted_keys(settings.keys_dir, None)
        made = require_signature(directory, release.id, release.compute_digest(), trusted)
        return f"signed with the trusted key {made.key}"

    return _tried("signed", check)


def _tried(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except MammoError as error:
        return Check(name, False, error.message)


def _network_checks(screener: Screener) -> Iterator[Check]:
    """Yield what the networks do with the golden image, and with images of nothing."""
    golden = golden_tensor(screener.release.preprocess)
    rng = np.random.default_rng(0)
    noise = rng.random(golden.shape, dtype=np.float32)
    odd = np.stack([golden, noise, np.zeros_like(golden), np.ones_like(golden)])
    together, again = _told(screener, odd), _told(screener, odd)
    yield _none("repeatable", "the same images twice, the same bits", _differing(together, again))
    each = [_told(screener, one[np.newaxis]) for one in odd]
    alone = {name: np.concatenate([one[name] for one in each]) for name in together}
    words = "an image scores alike alone and among others, bit for bit"
    yield _none("alone or together", words, _differing(together, alone))
    ill = [name for name, values in together.items() if not np.isfinite(values).all()]
    yield _none("finite", "black, white and noise give numbers", ill)


def _told(screener: Screener, tensors: np.ndarray) -> dict[str, np.ndarray]:
    """Return by name all that an exam is told from: what `Screener.score_read` refuses as NaN."""
    found = screener.infer_views(tensors, heat=True)
    told = {name: values for name, values in found._asdict().items() if values is not None}
    return told | {"scores": screener.view_logits(found)}


def _differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    # NaN is equal to NaN here: that it is none is a check of its own
    return [name for name in one if not np.array_equal(one[name], other[name], equal_nan=True)]


def _none(name: str, words: str, failing: list[str]) -> Check:
    """Return a check that passes where nothing fails it, and says what does."""
    return Check(name, not failing, f"{words}{': not ' * bool(failing)}{', '.join(failing)}")


def _points(release: Release) -> Check:
    """Probabilities must lie in [0, 1] and never fall where the logit rises."""
    bad = []
    for name, point in release.operating_points.items():
        values = np.array([point.probability(one) for one in LOGITS])
        ordered = bool(np.isfinite(values).all() and (np.diff(values) >= 0).all())
        within = bool(ordered and values[0] >= 0 and values[-1] <= 1 and values[-1] > values[0])
        if not within or not 0 <= point.threshold <= 1:
            bad.append(name)
    told = f"of {', '.join(bad)} unusable" if bad else "usable for every scanner"
    return Check("operating points", not bad, f"operating points {told}")


def _scanners(release: Release, champion: Release | None) -> Check:
    known = set() if champion is None else set(champion.operating_points)
    lost = sorted(known - set(release.operating_points))
    told = f"no operating point of its own for {', '.join(lost)}" if lost else "none is lost"
    return Check("scanners", not lost, f"of the champion's scanners {told}")
