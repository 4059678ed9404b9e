"""Can a release's maps be believed? Where they point, and whether they go with the weights.

Measured on images of the index with a known box and a positive label, of
patients that neither the release nor an ancestor was trained on. The sanity
check takes at most `SANITY_IMAGES` of them, one a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammo.appraisal.explain import Explainer
from mammo.breast_region import find_region
from mammo.errors import TooFewLabels
from mammo.evaluation.localisation import (
    ImageLocalisation,
    Localisation,
    box_mask,
    localise,
    summarise_localisation,
)
from mammo.evaluation.sanity import (
    CASCADING,
    INDEPENDENT,
    SanityCheck,
    rank_correlation,
    structural_similarity,
    summarise_sanity,
)
from mammo.exam import Finding, parse_findings
from mammo.geometry import Geometry, PreprocessConfig
from mammo.heat_map import Grid, spread
from mammo.preprocess import to_tensor
from mammo.release import Release
from mammo.settings import Settings

if TYPE_CHECKING:
    from mammo.models.breast_net import ViewNet

SANITY_IMAGES = 16
CASCADE_DRAWS = 3
LEAST_PATIENTS = 5
"""Kinds of finding on fewer patients are not told apart."""
BATCH = 8
SIMILARITY_SIZE = (64, 32)
"""Maps are compared by SSIM at this size, whatever the grid."""

Progress = Callable[[str, int, int], None]
Maps = Callable[["ViewNet", NDArray[np.float32]], NDArray[np.float32]]
"""Network and tensors (N, 1, H, W) to maps (N, h, w): what the sanity check questions."""


@dataclass(frozen=True, eq=False)
class ExplanationCheck:
    """What `mammo explain --check` tells of a release."""

    release: str
    trained_on: str
    target: str
    localisation: Localisation
    by_kind: dict[str, Localisation]
    sanity: SanityCheck
    images: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers; the table of images stays out."""
        return {
            "release": self.release,
            "trained_on": self.trained_on,
            "target": self.target,
            "localisation": self.localisation.to_dict(),
            "by_kind": {kind: one.to_dict() for kind, one in self.by_kind.items()},
            "sanity": self.sanity.to_dict(),
        }


def check_release(
    settings: Settings, directory: Path, *, progress: Progress | None = None
) -> ExplanationCheck:
    """Measure a release's maps on the index's findings of patients not trained on.

    Raises
    ------
    IndexMissing, ReleaseNotFound, DigestMismatch
    TooFewLabels
        No image with a relevant box is left.
    """
    from mammo.models.heat import network_heat

    report = progress or (lambda stage, done, total: None)
    explainer = Explainer.load(directory)
    release = explainer.release
    rows = boxed_rows(settings, directory, release)
    scored: list[dict[str, Any]] = []
    for start in range(0, len(rows), BATCH):
        scored += _localise_rows(settings, explainer, rows.iloc[start : start + BATCH])
        report("localisation", min(start + BATCH, len(rows)), len(rows))
    images = pd.DataFrame(scored)
    chosen = rows.drop_duplicates("patient_id").head(SANITY_IMAGES)
    compared = compare_randomised(
        explainer.network,
        _tensors(settings, chosen, release.preprocess),
        chosen,
        maps=lambda one, tensors: network_heat(one, tensors)[1],
        progress=lambda done, total: report("sanity", done, total),
    )
    return ExplanationCheck(
        release.id,
        release.trained_on,
        release.target,
        summarise_localisation(images),
        {
            str(kind): summarise_localisation(part)
            for kind, part in images.groupby("kind", sort=True)
            if part["patient_id"].nunique() >= LEAST_PATIENTS
        },
        summarise_sanity(compared),
        images,
    )


def boxed_rows(settings: Settings, directory: Path, release: Release) -> pd.DataFrame:
    """Return positive rows of the index with a relevant box, of patients not trained on.

    Raises TooFewLabels when there are none.
    """
    from mammo.continual.fit import labelled_index
    from mammo.continual.split import trained_patients
    from mammo.data.index import target_values

    index = labelled_index(settings)
    positive = (target_values(index, release.target) == 1).fillna(False)
    unseen = ~index["patient_id"].isin(trained_patients(directory))
    rows = index[positive & unseen].copy()
    relevant = [relevant_findings(text, release.target) for text in rows["findings"]]
    rows["relevant"] = pd.Series(relevant, index=rows.index, dtype=object)
    rows = rows[rows["relevant"].map(bool).astype(bool)].sort_values("image_id", ignore_index=True)
    if rows.empty:
        raise TooFewLabels(
            f"found {int(positive.sum())} images with {release.target}, none of them both with a "
            f"box and of a patient that {release.id} was not trained on: at least 1 is needed"
        )
    return rows


def relevant_findings(text: str | None, target: str) -> tuple[Finding, ...]:
    """Return the findings that a map for ``target`` should point at.

    For cancer those that are not benign, by pathology where it is known, else
    by the kind's name; for any other target all.
    """
    found = parse_findings(text)
    if target != "cancer":
        return found
    return tuple(
        one for one in found if one.malignant or
        (one.malignant is None and not one.kind.startswith("benign"))
    )  # fmt: skip


def compare_randomised(
    net: ViewNet,
    tensors: NDArray[np.float32],
    rows: pd.DataFrame,
    *,
    maps: Maps,
    draws: int = CASCADE_DRAWS,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Compare maps before and after weights are drawn anew, one row a comparison.

    ``rows`` has ``image_id`` and ``patient_id`` of the tensors (N, 1, H, W). The columns
    are those that `summarise_sanity` asks for. The cascade is drawn ``draws`` times.
    """
    from mammo.models.randomise import network_parts, randomised

    before = maps(net, tensors)
    breasts = [breast_cells(one[0], before.shape[1:]) for one in tensors]
    plan = [(CASCADING, draw) for draw in range(draws)] + [(INDEPENDENT, 0)]
    total, done, told = len(plan) * len(network_parts(net)), 0, []
    for mode, draw in plan:
        for step, depth, changed in randomised(net, cascading=mode == CASCADING, seed=draw):
            after = maps(changed, tensors)
            facts = {"mode": mode, "draw": draw, "step": step, "depth": depth}
            told += [facts | one for one in _compare(before, after, breasts, rows)]
            done += 1
            if progress is not None:
                progress(done, total)
    return pd.DataFrame(told)


def breast_cells(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which cells of a grid (h, w) are at least half breast, for an image (H, W)."""
    mask = breast_mask(image).astype(np.float32)
    covered = cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    cells = np.asarray(covered >= 0.5)
    return cells if cells.any() else np.ones(shape, bool)


def breast_mask(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where the breast is in a prepared image (H, W)."""
    region = find_region(np.asarray(image, np.float32))
    return np.ones(image.shape, bool) if region is None else region.mask


def _compare(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    breasts: list[NDArray[np.bool_]],
    rows: pd.DataFrame,
) -> Iterator[dict[str, Any]]:
    ids = zip(rows["image_id"], rows["patient_id"], strict=True)
    for one, other, cells, (image, patient) in zip(before, after, breasts, ids, strict=True):
        small = [cv2.resize(grid, SIMILARITY_SIZE[::-1]) for grid in (one, other)]
        yield {
            "image_id": image,
            "patient_id": patient,
            "correlation": rank_correlation(one[cells], other[cells]),
            "similarity": structural_similarity(*small),
        }


def _localise_rows(
    settings: Settings, explainer: Explainer, rows: pd.DataFrame
) -> Iterable[dict[str, Any]]:
    config = explainer.release.preprocess
    tensors = _tensors(settings, rows, config)
    logits, heat = explainer.explain(tensors)
    for place, row in enumerate(cast("Iterable[Any]", rows.itertuples())):
        found = _localise(tensors[place, 0], heat[place], row, explainer.grid)
        if found is not None:
            kinds = sorted({one.kind for one in row.relevant})
            yield {
                "image_id": row.image_id, "patient_id": row.patient_id, "kind": " + ".join(kinds),
                "logit": float(logits[place]), **found.to_dict(),
            }  # fmt: skip


def _localise(
    image: NDArray[np.float32], heat: NDArray[np.float32], row: Any, grid: Grid
) -> ImageLocalisation | None:
    import json

    geometry = Geometry.from_dict(json.loads(row.geometry))
    boxes = [
        (*geometry.to_prepared(one.x_min, one.y_min), *geometry.to_prepared(one.x_max, one.y_max))
        for one in row.relevant
    ]
    mask = breast_mask(image)
    # the place of the maximum is known to half a cell
    half_cell = max(grid.down, grid.across) / 2
    whole = spread(heat, image.shape, grid)
    return localise(whole, box_mask(image.shape, boxes), mask, tolerance_px=half_cell)


def _tensors(
    settings: Settings, rows: pd.DataFrame, config: PreprocessConfig
) -> NDArray[np.float32]:
    from mammo.data.shards import ShardReader

    reader = ShardReader(settings.shards_dir)
    places = zip(rows["shard"], rows["shard_row"].astype(int), strict=True)
    return to_tensor(np.stack([reader.row(shard, row) for shard, row in places]), config)
