"""Reconcile the view that a set's table or folder names with that of the header."""

from __future__ import annotations

from dataclasses import replace

from mammo.exam import Laterality, Mammogram, View, ViewPosition


def settle_view(found: Mammogram, told: View) -> Mammogram:
    """Return the mammogram with the told view; what is not told stays as the header has it.

    Where both name one and they differ, the set's makers are believed, who looked
    at the images, and the quality says LATERALITY_CONFLICT or VIEW_CONFLICT.
    """
    header = found.view
    side = told.laterality if told.laterality != Laterality.UNKNOWN else header.laterality
    position = told.position if told.position != ViewPosition.UNKNOWN else header.position
    view, quality = View(side, position), set(found.quality)
    if position != ViewPosition.UNKNOWN:
        quality.discard("VIEW_UNKNOWN")
    if position != header.position:
        quality.discard("NON_STANDARD_VIEW")
        if position != ViewPosition.UNKNOWN and not view.is_standard:
            quality.add("NON_STANDARD_VIEW")
        if header.position != ViewPosition.UNKNOWN:
            quality.add("VIEW_CONFLICT")
    if side != header.laterality and header.laterality != Laterality.UNKNOWN:
        quality.add("LATERALITY_CONFLICT")
    return replace(found, view=view, quality=tuple(sorted(quality)))
