"""What may leave the process: an allow-list, so that what nobody thought of stays.

A log line leaves as its text in the source, when that text is a constant of the
function that logged it; a line that was put together at run time leaves as
`WITHHELD`. Of its arguments only numbers leave, and words that we know: error
codes, names of exceptions, releases, and those given at the start (routes, tasks).
Everything else is `GONE`. Spans keep their known attributes, and never their
events, the descriptions of their status or the text of an exception. So no
patient's name, identifier, file name or path can be sent, whatever a caller puts
into a request.
"""

from __future__ import annotations

import builtins
import logging
import re
import sys
from collections.abc import Collection, Mapping
from types import CodeType, FrameType
from typing import Any

from mammo import errors

GONE, WITHHELD = "…", "a line that is no constant of the source"
METHOD, ROUTE, STATUS = "http.request.method", "http.route", "http.response.status_code"
"""OpenTelemetry's names; Azure reads a request's result from them."""
KEYS = (METHOD, ROUTE, STATUS, "stage")
"""The only attributes of spans and metrics that leave."""
RELEASE = re.compile(r"r-\d{8}-[0-9a-f]{8}")
_PLACE = re.compile(r"%(?:\((\w+)\))?[-+ #0]*\d*(?:\.\d+)?[a-zA-Z%]")


class Leaving:
    """The words that may leave, and what is made of lines and spans by them.

    Parameters
    ----------
    words
        Known words besides error codes and the names of exceptions.
    """

    def __init__(self, words: Collection[str] = ()) -> None:
        self._words = {*words, *_names_of_errors()}

    def value(self, given: Any) -> Any:
        """Return a number as it is, a known word or a release as text, else `GONE`."""
        if isinstance(given, bool | int | float):
            return given
        text = given.__name__ if isinstance(given, type) else str(given)
        return text if text in self._words or RELEASE.fullmatch(text) else GONE

    def attributes(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the attributes that may leave, each with a value that may."""
        return {key: self.value(one) for key, one in (given or {}).items() if key in KEYS}

    def line(self, record: logging.LogRecord) -> str:
        """Return what leaves of a log line. To be called while it is logged."""
        template = record.msg
        if not isinstance(template, str) or not _is_constant(template, record):
            return WITHHELD
        return self._filled(template, record.args)

    def _filled(self, template: str, args: Any) -> str:
        named = args if isinstance(args, Mapping) else {}
        left = iter(args if isinstance(args, tuple) else ())

        def fill(place: re.Match[str]) -> str:
            if place[0] == "%%":
                return "%"
            value = self.value(named.get(place[1]) if place[1] else next(left, GONE))
            if isinstance(value, str):
                return value
            return re.sub(r"\(\w+\)", "", place[0]) % value

        return _PLACE.sub(fill, template)


def _names_of_errors() -> set[str]:
    ours = [one for one in vars(errors).values() if isinstance(one, type)]
    theirs = [one for one in vars(builtins).values() if isinstance(one, type)]
    named = [one for one in (*ours, *theirs) if issubclass(one, BaseException)]
    codes = {one.code for one in ours if issubclass(one, errors.MammoError)}
    return codes | {one.__name__ for one in named}


def _is_constant(text: str, record: logging.LogRecord) -> bool:
    """True when ``text`` stands in the source of the function that is logging now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename == record.pathname and code.co_name == record.funcName:
            return _holds(code, text)
        frame = frame.f_back
    return False


def _holds(code: CodeType, text: str) -> bool:
    # `in` would also call a constant equal that is no text
    return any(isinstance(one, str) and one == text for one in code.co_consts)
