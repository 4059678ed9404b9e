"""Content items of structured reports and how they nest (PS3.3 C.17.3).

The items are highdicom's, which checks them; nested here, because highdicom has no
relationship by reference, which Mammography CAD asks for: an image is described once,
in the image library, and pointed at by its place in the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

CONTAINS, PROPERTIES, INFERRED = "CONTAINS", "HAS PROPERTIES", "INFERRED FROM"
MODIFIED, ACQUIRED, SELECTED = "HAS CONCEPT MOD", "HAS ACQ CONTEXT", "SELECTED FROM"
DECIMALS = 16
"""A decimal string has no more characters (PS3.5 6.2, DS)."""


def nest(item: Dataset, children: Iterable[Dataset]) -> Dataset:
    """Return the item with its children, as a plain data set."""
    plain, inner = Dataset(), list(children)
    plain.update(item)
    if inner:
        plain.ContentSequence = inner
    return plain


def container(
    name: Code, children: Iterable[Dataset], relation: str | None = CONTAINS, template: str = ""
) -> Dataset:
    """Return a CONTAINER; the root has no relation, and its template (DCMR)."""
    from highdicom.sr import ContainerContentItem

    item = ContainerContentItem(
        name, is_content_continuous=False, template_id=template or None, relationship_type=relation
    )
    return nest(item, children)


def code(name: Code, value: Code, relation: str, children: Iterable[Dataset] = ()) -> Dataset:
    """Return a CODE with its children."""
    from highdicom.sr import CodeContentItem

    return nest(CodeContentItem(name, value, relation), children)


def number(
    name: Code, value: float, unit: Code, relation: str, children: Iterable[Dataset] = ()
) -> Dataset:
    """Return a NUM with its children."""
    from highdicom.sr import NumContentItem

    return nest(NumContentItem(name, value, unit, relationship_type=relation), children)


def text(name: Code, value: str, relation: str) -> Dataset:
    """Return a TEXT."""
    from highdicom.sr import TextContentItem

    return nest(TextContentItem(name, value, relation), [])


def when(name: Code, value: str, relation: str) -> Dataset:
    """Return a DATE of 8 characters (PS3.5 6.2, DA), or of another length a TIME."""
    from highdicom.sr import DateContentItem, TimeContentItem

    kind = DateContentItem if len(value) == len("YYYYMMDD") and value.isdigit() else TimeContentItem
    return nest(kind(name, value, relation), [])


def image(of: Dataset, children: Iterable[Dataset]) -> Dataset:
    """Return an IMAGE of a library, without a name of its own (TID 4020 row 1)."""
    from highdicom.sr import ImageContentItem

    item = ImageContentItem(
        codes.DCM.SourceImage, of.SOPClassUID, of.SOPInstanceUID, relationship_type=CONTAINS
    )
    plain = nest(item, children)
    del plain.ConceptNameCodeSequence
    return plain


def outline(
    name: Code, kind: str, points: Sequence[tuple[float, float]], of: Sequence[int], relation: str
) -> Dataset:
    """Return a SCOORD on the image at place ``of`` of the tree.

    ``points`` are (column, row) from the upper left corner of the upper left pixel, which is
    0.0, 0.0 there (PS3.3 C.18.6.1.2); ``kind`` is a Graphic Type such as POLYLINE.
    """
    from highdicom.sr import ScoordContentItem

    item = ScoordContentItem(name, kind, np.array(points), relationship_type=relation)
    return nest(item, [pointing(SELECTED, of)])


def pointing(relation: str, place: Sequence[int]) -> Dataset:
    """Return a relationship by reference to a ``place`` in the tree (PS3.3 C.17.3.2.5)."""
    item = Dataset()
    item.RelationshipType = relation
    item.ReferencedContentItemIdentifier = list(place)
    return item
