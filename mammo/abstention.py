"""When a score should not be relied on: codes that are told beside it.

The exam is scored and logged all the same; who reads the answer is told not to
go by it. Most codes come from what is known of the exam and its images.
OUT_OF_DISTRIBUTION comes from the release: the exam lies farther from its
reference exams than they lie from each other (:mod:`mammo.familiarity`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mammo.exam_report import Refused, ViewScore

ABSTENTION_CODES: dict[str, str] = {
    "OUT_OF_DISTRIBUTION": "The images look unlike the exams that the release was tried on.",
    "UNKNOWN_SCANNER": "The release has no operating point for this scanner.",
    "MISSING_VIEW": "The exam lacks a CC or MLO of either breast.",
    "NO_BREAST_FOUND": "In an image no breast stood out from the background.",
    "SATURATED": "Over a quarter of a breast is at either end of the window.",
    "LOW_CONTRAST": "A breast spans less than a twentieth of the window.",
    "CONTRAST_ENHANCED": "An image was taken with contrast medium: no screening mammogram.",
}
"""Code -> why the score should not be relied on."""

OF_VIEWS = {"WHOLE_IMAGE": "NO_BREAST_FOUND"} | {
    code: code for code in ("SATURATED", "LOW_CONTRAST", "CONTRAST_ENHANCED")
}
"""Quality code of a view that was pooled -> abstention code."""
OF_EXAM = frozenset(("MISSING_VIEW", "UNKNOWN_SCANNER"))


def abstention_codes(
    views: Sequence[ViewScore],
    refused: Iterable[Refused],
    quality: Iterable[str],
    *,
    foreign: bool,
) -> tuple[str, ...]:
    """Return why an exam's score should not be relied on, sorted; empty when nothing says so.

    ``quality`` are the exam's codes. Of a view that was not pooled nothing counts:
    the score does not rest on it.
    """
    codes = set(quality) & OF_EXAM
    codes |= {
        OF_VIEWS[code] for view in views if view.pooled for code in view.quality if code in OF_VIEWS
    }
    codes |= {one.code for one in refused if one.code == "NO_BREAST_FOUND"}
    if foreign:
        codes.add("OUT_OF_DISTRIBUTION")
    return tuple(sorted(codes))
