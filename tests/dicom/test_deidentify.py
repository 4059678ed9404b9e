"""Pseudonyms are stable, keyed and apart."""

from __future__ import annotations

import re

import pytest

from mammo.dicom.deidentify import Kind, pseudonym


@pytest.mark.parametrize(("kind", "prefix"), [("patient", "P"), ("exam", "E"), ("image", "I")])
def test_shape(kind: Kind, prefix: str) -> None:
    assert re.fullmatch(prefix + "-[0-9a-f]{16}", pseudonym(b"key", kind, "36"))


def test_a_golden_value_stays() -> None:
    assert pseudonym(b"key", "patient", "36") == "P-b2c65d660ec194b6"


def test_blanks_do_not_count() -> None:
    assert pseudonym(b"key", "patient", " 36 \0") == pseudonym(b"key", "patient", "36")


def test_key_kind_and_value_count() -> None:
    ids = {
        pseudonym(key, kind, value)[2:]
        for key in (b"key", b"other")
        for kind in ("patient", "exam", "image")
        for value in ("36", "37")
    }
    assert len(ids) == 12


@pytest.mark.parametrize(
    ("key", "kind", "value"), [(b"", "patient", "1"), (b"k", "x", "1"), (b"k", "exam", " ")]
)
def test_nothing_to_hash_is_an_error(key: bytes, kind: Kind, value: str) -> None:
    with pytest.raises(ValueError, match="a pseudonym needs a key"):
        pseudonym(key, kind, value)
