from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from bentos.screening.asked import Asked, digest_files
from bentos.screening.upload import ReceivedFile
from mammo.errors import HeaderInvalid


def read(caller: str = "pacs", **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked.read(Headers(named), caller, 120.0)


def test_a_key_names_the_request_of_its_caller() -> None:
    first, again, other = (read(idempotency_key=key) for key in ("a", "a", "b"))
    assert first.request_id == again.request_id != other.request_id
    assert len(first.request_id) == 32 and first.repeatable
    assert read("viewer", idempotency_key="a").request_id != first.request_id
    assert read().request_id != read().request_id
    assert not read().repeatable


@pytest.mark.parametrize("key", ["", "x" * 201, "a\tb", "schl\u00fcssel"])
def test_malformed_keys(key: str) -> None:
    raw = [(b"idempotency-key", key.encode("latin-1"))]
    with pytest.raises(HeaderInvalid, match="1 to 200 printable"):
        Asked.read(Headers(raw=raw), "pacs", 120.0)


@pytest.mark.parametrize(
    ("prefer", "later", "seconds"),
    [
        ("", False, 120.0),
        ("respond-async", True, 120.0),
        ("Respond-Async, wait=10", True, 10.0),
        ('wait="7"', False, 7.0),
        ("wait=900", False, 120.0),
        ("wait=0", False, 120.0),
        ("wait=-1", False, 120.0),
        ("wait=soon; x=1, handling=lenient", False, 120.0),
        ("wait=3, wait=9", False, 3.0),
    ],
)
def test_preferences(prefer: str, later: bool, seconds: float) -> None:
    asked = read(prefer=prefer)
    assert (asked.later, asked.seconds) == (later, seconds)


def test_files_are_the_same_in_any_order_and_under_any_name() -> None:
    one, two = ReceivedFile("a", b"1"), ReceivedFile("b", b"2")
    assert digest_files([one, two]) == digest_files([two, ReceivedFile("c", b"1")])
    assert digest_files([one]) != digest_files([two])
    assert digest_files([one, one]) != digest_files([one])
