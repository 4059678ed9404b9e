"""Every hostile file gets its code, soon, with little memory, and the process lives."""

from __future__ import annotations

import re
import time
import tracemalloc
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammo.dicom.file import parse_file
from mammo.dicom.read import MAX_BYTES, read_mammogram
from mammo.errors import ReadError

from . import hostile
from .builders import IMAGE, NAME, STUDY
from .hostile import HOSTILE, ITEM, SMALL, UNDEFINED, element, make_file, nest, plant

SECONDS, MEGABYTES = 4.0, 450
"""A file may be 200 MB, and what a bomb inflates to is held twice before it is refused."""


@pytest.mark.filterwarnings("ignore:Expected .* VR")
@pytest.mark.parametrize(
    ("code", "make"),
    [(code, make) for _, code, make in HOSTILE],
    ids=[name for name, *_ in HOSTILE],
)
def test_hostile_files_get_their_code(code: str, make: Callable[[], bytes]) -> None:
    data, begun = make(), time.process_time()
    seen, told = "", ""
    try:
        mammogram, image = read_mammogram(data, key=b"key", site="site")
    except ReadError as error:
        seen, told = error.code, error.message
    else:
        np.testing.assert_array_equal(image.pixels, SMALL)
        for id_ in (mammogram.image_id, mammogram.exam_id, mammogram.patient_id):
            assert re.fullmatch(r"[A-Z]-[0-9a-f]+", id_)
    assert seen == code, told
    assert time.process_time() - begun < SECONDS
    for secret in (NAME, "Secret", STUDY, IMAGE, "passwd", "shadow"):
        assert secret not in told


@pytest.mark.parametrize("name", ["a deflate bomb of 210 MB", "70,000 fragments",
                                  "110,000 empty items in a sequence",
                                  "65,535 x 65,535 pixels, RLE"])  # fmt: skip
def test_hostile_files_take_little_memory(name: str) -> None:
    data = next(make for found, _, make in HOSTILE if found == name)()
    tracemalloc.start()
    try:
        with pytest.raises(ReadError):
            read_mammogram(data, key=b"key", site="site")
        assert tracemalloc.get_traced_memory()[1] < MEGABYTES * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("syntax", [hostile.EXPLICIT, hostile.IMPLICIT, hostile.BIG_ENDIAN])
@pytest.mark.parametrize("undefined", [True, False])
def test_a_file_with_sequences_cut_anywhere_is_refused(syntax: str, undefined: bool) -> None:
    if syntax == hostile.BIG_ENDIAN:
        planted = b""
    else:
        planted = nest(3, "SQ" if syntax == hostile.EXPLICIT else "", undefined)
    data = plant(planted, syntax)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kept in range(0, len(data) - 1, 3):
            with pytest.raises(ReadError) as caught:
                read_mammogram(data[:kept], key=b"key", site="site")
            assert caught.value.code != "UNREADABLE"


TAGS = st.tuples(
    st.sampled_from([0x0008, 0x0009, 0x0028, 0x0054, 0x5400, 0xFFFE]),
    st.sampled_from([0x0000, 0x0005, 0x0008, 0x0010, 0x0220, 0x1115, 0x3010, 0xE000, 0xE00D]),
)
REPRESENTATIONS = st.sampled_from(["SQ", "UN", "OB", "UT", "LO", "CS", "US", "DS", ""])
LENGTHS = st.sampled_from([None, None, None, None, 0, 2, 7, 300, UNDEFINED])


def _elements(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    items = st.lists(
        st.builds(element, st.just(ITEM), st.just(""), inner, LENGTHS), min_size=1, max_size=3
    )
    return st.builds(element, TAGS, REPRESENTATIONS, items.map(b"".join), LENGTHS)


PLANTED = st.recursive(
    st.builds(element, TAGS, REPRESENTATIONS, st.binary(max_size=24), LENGTHS),
    _elements,
    max_leaves=12,
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", [hostile.EXPLICIT, hostile.IMPLICIT, hostile.BIG_ENDIAN])
@settings(max_examples=60, deadline=None)
@given(planted=PLANTED)
def test_planted_structures_never_escape_as_another_error(syntax: str, planted: bytes) -> None:
    try:
        mammogram, image = read_mammogram(plant(planted, syntax), key=b"key", site="site")
    except ReadError as error:
        assert error.code != "UNREADABLE"
        assert NAME not in error.message
    else:
        assert image.pixels.shape == (mammogram.rows, mammogram.columns)


@pytest.mark.parametrize(
    ("data", "preamble"),
    [(make_file(SMALL), True), (make_file(SMALL)[128:], False), (make_file(SMALL)[132:], False)],
)
def test_a_missing_preamble_is_told(data: bytes, preamble: bool) -> None:
    assert parse_file(data, MAX_BYTES).preamble is preamble


def test_every_case_has_a_name_of_its_own() -> None:
    names = [name for name, *_ in HOSTILE]
    assert len(set(names)) == len(names) >= 80
