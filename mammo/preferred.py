"""Which image of each view stands for the breast, when an exam has several.

An exam may hold repeats, additional views, and the same projection both
acquired and synthesised. Of two images of the same breast and projection the
preferred one is found by the first of these rules that tells them apart:

1. A view of the whole breast goes before one made to look at a part of it
   otherwise: spot compression, magnification, tangential, cleavage, axillary
   tail and rolled views answer a question of a diagnostic work-up. They change
   the scale, leave tissue out or fold it over, and a model of screening views
   has not seen their like. Any CC or MLO with NON_STANDARD_VIEW is one of them.
2. The whole breast before a partial view (PARTIAL_VIEW, a mosaic of a large
   breast): the lesion may lie on the other part.
3. Plainly acquired before synthesised from tomosynthesis (SYNTHETIC_2D) or made
   with contrast medium (CONTRAST_ENHANCED): synthesis sharpens calcifications
   and makes ones that are not there, a recombined image shows vessels.
4. Implant displaced before implant in place: in the displaced (Eklund) view the
   implant is pushed back to the chest wall and the tissue before it is
   compressed and seen; with the implant in place it hides much of the tissue.
   The tissue at the chest wall is seen better in the other, which a radiologist
   reads as well; a score for cancer takes the one that shows more tissue.
5. A view whose elements agree before one with LATERALITY_CONFLICT, VIEW_CONFLICT
   or ORIENTATION_CONFLICT: it may be filed under the wrong name.
6. Losslessly compressed before LOSSY_COMPRESSED.
7. Without burned-in text before BURNED_IN_ANNOTATION: a marker is a short cut.
8. The later day before the earlier: a repeat is made because the first was not
   good. The time of day does not survive de-identification, so repeats of one
   day are not told apart here.
9. The larger in pixels: less was cut off or averaged.
10. The smaller ``image_id``: no reason, but always the same choice.

Images whose projection is unknown (position ``U``) cannot be repeats of each
other as far as anybody knows: all of them are kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from mammo.exam import STANDARD_VIEWS, Laterality, Mammogram, View, ViewPosition

PART_VIEWS = frozenset(
    (
        *("SPOT_COMPRESSION", "MAGNIFICATION", "TANGENTIAL", "CLEAVAGE", "AXILLARY_TAIL", "ROLLED"),
        *("AXILLARY_TISSUE", "ANTERIOR_COMPRESSION", "INFRAMAMMARY_FOLD", "NON_STANDARD_VIEW"),
    )
)
"""Rule 1: the quality codes of views made to look at a part of the breast."""
MADE_OTHERWISE = frozenset(("SYNTHETIC_2D", "CONTRAST_ENHANCED"))
"""Rule 3."""
CONFLICTS = frozenset(("LATERALITY_CONFLICT", "VIEW_CONFLICT", "ORIENTATION_CONFLICT"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the order looks at, from a Mammogram or from a row of the exam index."""

    exam_id: str
    view: View
    quality: frozenset[str]
    acquired_on: date | None
    pixels: int
    image_id: str

    @classmethod
    def of(cls, mammogram: Mammogram) -> Self:
        """Take the facts of a mammogram."""
        quality, pixels = frozenset(mammogram.quality), mammogram.rows * mammogram.columns
        return cls(
            mammogram.exam_id,
            mammogram.view,
            quality,
            mammogram.acquired_on,
            pixels,
            mammogram.image_id,
        )

    @classmethod
    def of_row(cls, row: Mapping[Any, Any]) -> Self:
        """Take the facts of a row with the columns of ``mammo.data.index.INDEX_SCHEMA``."""
        view = View(Laterality(row["laterality"]), ViewPosition(row["view"]))
        day = row["acquired_on"]
        return cls(
            exam_id=str(row["exam_id"]),
            view=view,
            quality=frozenset(filter(None, str(row["quality"] or "").split("|"))),
            acquired_on=day if isinstance(day, date) and day == day else None,  # NaT is no day
            pixels=int(row["rows"]) * int(row["columns"]),
            image_id=str(row["image_id"]),
        )

    @property
    def is_screening_view(self) -> bool:
        """True for a CC or MLO of the whole breast, as a screening exam has four of."""
        return self.view.position in STANDARD_VIEWS and self.quality.isdisjoint(PART_VIEWS)


def rank(candidate: Candidate) -> tuple[Any, ...]:
    """Return the place in the order of the module's list: the smallest is preferred."""
    quality = candidate.quality
    day = candidate.acquired_on
    return (
        not quality.isdisjoint(PART_VIEWS),
        "PARTIAL_VIEW" in quality,
        not quality.isdisjoint(MADE_OTHERWISE),
        "IMPLANT_DISPLACED" not in quality,
        not quality.isdisjoint(CONFLICTS),
        "LOSSY_COMPRESSED" in quality,
        "BURNED_IN_ANNOTATION" in quality,
        -day.toordinal() if day else 0,
        -candidate.pixels,
        candidate.image_id,
    )


def pick_preferred(mammograms: Iterable[Mammogram]) -> dict[View, Mammogram]:
    """Return the preferred mammogram of each view of one exam.

    Views of unknown projection are not in it: see :func:`suitable`, which keeps
    them all. The order of the views is that of the mammograms.
    """
    given = list(mammograms)
    places = _pick([Candidate.of(one) for one in given])
    return {given[place].view: given[place] for place in places}


def suitable(mammograms: Iterable[Mammogram]) -> list[Mammogram]:
    """Return the mammograms that the scores of their breasts pool, in the order given.

    Of each breast: the preferred CC and MLO, where they show the whole breast,
    and every image of unknown projection; a breast that has none of these gives
    the preferred image of each of its other views. So no breast goes unscored.
    Where a breast was taken in parts only, all parts of the view are kept.
    """
    given = list(mammograms)
    return [given[place] for place in _pick_suitable([Candidate.of(one) for one in given])]


def suitable_rows(rows: Iterable[Mapping[Any, Any]]) -> list[bool]:
    """Tell of each row of the exam index (of any number of exams) whether it is suitable.

    >>> table[suitable_rows(table.to_dict("records"))]  # doctest: +SKIP
    """
    candidates = [Candidate.of_row(row) for row in rows]
    kept = set(_pick_suitable(candidates))
    return [place in kept for place in range(len(candidates))]


def _pick(candidates: Sequence[Candidate]) -> list[int]:
    """Return the places of the preferred candidates, one an exam and known view."""
    known = [
        place
        for place, one in enumerate(candidates)
        if one.view.position is not ViewPosition.UNKNOWN
    ]
    groups = _group(known, [(one.exam_id, one.view) for one in candidates])
    return [min(group, key=lambda place: rank(candidates[place])) for group in groups]


def _pick_suitable(candidates: Sequence[Candidate]) -> list[int]:
    """Return the places of the suitable candidates, ascending."""
    preferred = _with_their_mosaics(set(_pick(candidates)), candidates)
    kept: list[int] = []
    breasts = [(one.exam_id, one.view.laterality) for one in candidates]
    for group in _group(range(len(candidates)), breasts):
        unknown = [p for p in group if candidates[p].view.position is ViewPosition.UNKNOWN]
        chosen = [p for p in group if p in preferred]
        screening = [p for p in chosen if candidates[p].is_screening_view]
        kept += unknown + screening or chosen
    return sorted(kept)


def _with_their_mosaics(preferred: set[int], candidates: Sequence[Candidate]) -> set[int]:
    """Add to a partial view that is preferred the other parts of its view."""
    mosaics = {
        (one.exam_id, one.view)
        for one in (candidates[place] for place in preferred)
        if "PARTIAL_VIEW" in one.quality
    }
    parts = (
        place
        for place, one in enumerate(candidates)
        if "PARTIAL_VIEW" in one.quality and (one.exam_id, one.view) in mosaics
    )
    return preferred.union(parts)


def _group(places: Iterable[int], keys: Sequence[Hashable]) -> list[list[int]]:
    """Return the places with equal keys together, in the order of their first."""
    groups: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place in places:
        groups[keys[place]].append(place)
    return list(groups.values())
