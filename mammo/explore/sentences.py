"""How numbers are put into words: counts, rates with their interval, lists, p values.

Every sentence of the report takes its numbers from here, so that one quantity
reads the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mammo.explore.counts import Share

_PLURALS = {"is": "are", "has": "have", "was": "were", "does": "do", "breast": "breasts"}
_ANONYMOUS = "not stated"


def number(value: float) -> str:
    """Return a whole number with thousands set apart: ``54,706``."""
    return f"{round(value):,}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 patient``, ``2 patients``, ``no patients``."""
    words = plural or plural_of(noun)
    if n == 0:
        return f"no {words}"
    return f"{number(n)} {noun if n == 1 else words}"


def plural_of(noun: str) -> str:
    """Return the plural of a noun of this field."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def verb(n: int, singular: str) -> str:
    """Return the verb's form for n things: ``verb(2, "is")`` is ``are``."""
    return singular if n == 1 else _PLURALS[singular]


def percent(rate: float) -> str:
    """Return a rate in [0, 1] as a percentage with the digits that it deserves.

    0 and 1 are exact; a rate that would round to either says ``under`` or ``over``.
    """
    if rate in (0.0, 1.0):
        return f"{rate:.0%}"
    value = 100 * rate
    if value < 0.01:
        return "under 0.01%"
    if value > 99.99:
        return "over 99.99%"
    if value < 0.1 or value > 99.9:
        return f"{value:.2f}%"
    return f"{value:.1f}%" if value < 20 or value > 95 else f"{value:.0f}%"


def with_interval(share: Share) -> str:
    """Return ``4.1% (95% interval 3.7 to 4.4%)``, the rate with the digits of its bounds."""
    digits = _digits(share.low, share.high)
    rate = percent(share.rate) if share.rate in (0.0, 1.0) else f"{100 * share.rate:.{digits}f}%"
    return f"{rate} (95% interval {span(share.low, share.high)})"


def span(low: float, high: float) -> str:
    """Return two rates as one range with the same digits: ``3.7 to 4.4%``."""
    digits = _digits(low, high)
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}%"


def _digits(low: float, high: float) -> int:
    if high < 0.01 or (low > 0.99 and low < 1):
        return 2
    return 1 if high - low < 0.1 else 0


def one_in(rate: float) -> str:
    """Return a rate as ``1 in 47``; as a percentage where it is above one third."""
    if rate <= 0:
        return "none"
    return f"1 in {number(1 / rate)}" if rate < 1 / 3 else percent(rate)


def listed(words: Iterable[str], limit: int = 6) -> str:
    """Return ``a, b and c``; beyond ``limit`` words the rest is counted."""
    items = list(words)
    if len(items) > limit:
        items = [*items[: limit - 1], f"{len(items) - limit + 1} more"]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def p_value(p: float) -> str:
    """Return ``p = 0.03`` or ``p < 0.0001``."""
    if p < 1e-4:
        return "p < 0.0001"
    return f"p = {p:.2g}" if p < 0.095 else f"p = {p:.2f}"


def times(ratio: float) -> str:
    """Return how many times as high: ``1.6 times``, ``twelve`` as ``12 times``."""
    if math.isinf(ratio):
        return "infinitely many times"
    return f"{ratio:.1f} times" if ratio < 10 else f"{number(ratio)} times"


def capital(text: str) -> str:
    """Return the text with its first letter as a capital."""
    return text[:1].upper() + text[1:]


def named(value: object) -> str:
    """Return the name of a level; what is null or empty is ``not stated``."""
    text = "" if value is None or value != value else str(value)
    return text if text.strip() else _ANONYMOUS


def stated(values: Sequence[object]) -> list[str]:
    """Return the names of the levels that are stated."""
    return [name for value in values if (name := named(value)) != _ANONYMOUS]
