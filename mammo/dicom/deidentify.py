"""Pseudonyms: the only form in which an identity leaves ingest.

HMAC-SHA256 under the site's secret key (NIST FIPS 198-1), so that ids are
stable within a site, differ between sites, and cannot be guessed back from a
list of known patient numbers without the key.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

Kind = Literal["patient", "exam", "image"]
_PREFIX: dict[str, str] = {"patient": "P", "exam": "E", "image": "I"}


def pseudonym(key: bytes, kind: Kind, value: str) -> str:
    """Return ``P-``, ``E-`` or ``I-`` and 16 hexadecimal digits (64 bits).

    The kind is part of what is hashed: the same text as patient and as exam
    gives unrelated ids. Blanks around ``value`` do not count (PS3.5 6.2 pads
    with them).

    Raises
    ------
    ValueError
        The key is empty, the kind is unknown or the value is blank.
    """
    text = value.strip(" \0")
    if not key or kind not in _PREFIX or not text:
        raise ValueError("a pseudonym needs a key, a kind of patient, exam or image, and a value")
    digest = hmac.new(key, f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()
    return f"{_PREFIX[kind]}-{digest[:16]}"
