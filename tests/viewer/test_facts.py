"""What the panel beside the images tells, also where the service cannot tell all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mammo.settings import Settings
from tests.viewer.reading import send, wait_count, wait_ready
from tests.viewer.test_accessible import require_accessible

pytestmark = pytest.mark.slow
Open = Callable[..., Any]
AWAY = {"code": "LOG_UNAVAILABLE", "detail": "The log database does not answer."}
GONE = {"code": "EXAM_UNKNOWN", "detail": "The log has no exam of this id."}
NO_SCORING = "The log has no scoring of this exam."
NOT_READ = "The scoring of this exam could not be read"
NOT_KNOWN = "not known any more whether anything speaks against the score"
NOT_JUDGED = "Not judged whether the images look like those the release was tried on"
DO_NOT_RELY = "Do not rely on the score"
HEADING = "What is not known"


@pytest.fixture(scope="module")
def exam(hospital: tuple[str, Settings], phantom: list[Path]) -> str:
    sent: str = send(hospital[0], [path.read_bytes() for path in phantom])["exam"]
    return sent


def open_exam(open_page: Open, address: str, exam: str, answer: Callable[[Any], None]) -> Any:
    """Open an exam whose scoring is answered by ``answer`` and everything else by the service."""
    page = open_page(address)
    page.route(f"{address}/v1/exams/{exam}", answer)
    page.goto(f"{address}/#/exam/{exam}")
    wait_ready(page)
    return page


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (lambda route: route.fulfill(status=503, json=AWAY), ["LOG_UNAVAILABLE", AWAY["detail"]]),
        (lambda route: route.fulfill(status=500, body="broken"), ["NO_REASON", "status 500"]),
        (lambda route: route.abort(), ["UNREACHABLE", "cannot be reached"]),
    ],
    ids=["log away", "service broken", "network away"],
)
def test_a_scoring_that_cannot_be_read_says_why_and_is_read_again(
    hospital: tuple[str, Settings],
    exam: str,
    open_page: Open,
    fail: Callable[[Any], None],
    told: list[str],
) -> None:
    address, _ = hospital
    page = open_exam(open_page, address, exam, fail)
    facts = page.inner_text(".facts")
    assert page.locator(".tile canvas").count() == 4
    assert NOT_READ in facts and NO_SCORING not in facts
    assert [one for one in told if one not in facts] == []
    require_accessible(page)
    page.keyboard.press("h")
    wait_count(page, ".heat:not([hidden])", 4)
    with page.expect_request(f"**/v1/exams/{exam}"):
        page.click(".facts >> text=Try again")
    page.wait_for_selector('.facts:not([aria-busy]) .problem button:has-text("Try again"):focus')
    page.unroute(f"{address}/v1/exams/{exam}")
    page.click(".facts >> text=Try again")
    page.wait_for_selector(".facts .score")
    assert page.locator(".facts .problem").count() == 0
    assert page.locator(".heat:not([hidden])").count() == 4, "what was set at the images stays"
    assert page.evaluate("document.activeElement.className") == "facts"


def test_an_exam_without_scoring_is_no_failure(
    hospital: tuple[str, Settings], exam: str, open_page: Open
) -> None:
    page = open_exam(
        open_page, hospital[0], exam, lambda route: route.fulfill(status=404, json=GONE)
    )
    assert NO_SCORING in page.inner_text(".facts")
    assert page.locator(".facts .problem").count() == 0


CAVEATS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "judged, nothing found": (
        {"abstention": [], "scale": 7, "familiarity_judged": True},
        ["7 of 10"],
        [DO_NOT_RELY, NOT_KNOWN, NOT_JUDGED, HEADING],
    ),
    "not known any more": (
        {"abstention": None, "scale": None, "familiarity_judged": None, "quality": ["SATURATED"]},
        ["no scale", NOT_KNOWN, HEADING, "SATURATED"],
        [DO_NOT_RELY, "too few reference exams", NOT_JUDGED],
    ),
    "not judged": (
        {"abstention": [], "familiarity_judged": False},
        [NOT_JUDGED, "too few reference exams", HEADING],
        [DO_NOT_RELY, NOT_KNOWN],
    ),
    "not judged, and another code": (
        {"abstention": ["MISSING_VIEW"], "familiarity_judged": False, "quality": ["MISSING_VIEW"]},
        [DO_NOT_RELY, NOT_JUDGED],
        [NOT_KNOWN, "Quality\n"],
    ),
    "of a service of before": (
        {"abstention": None, "scale": None},
        ["no scale", NOT_KNOWN],
        [NOT_JUDGED],
    ),
}


@pytest.mark.parametrize(("changes", "told", "untold"), CAVEATS.values(), ids=CAVEATS)
def test_caveats_are_told_and_no_more_is_claimed(
    hospital: tuple[str, Settings],
    exam: str,
    open_page: Open,
    changes: dict[str, Any],
    told: list[str],
    untold: list[str],
) -> None:
    def answer(route: Any) -> None:
        known = route.fetch().json()
        known.pop("familiarity_judged", None)  # a service of before had no such field
        route.fulfill(json=known | changes)

    page = open_exam(open_page, hospital[0], exam, answer)
    facts = page.inner_text(".facts")
    assert [one for one in told if one not in facts] == []
    assert [one for one in untold if one in facts] == []
    require_accessible(page)


@pytest.mark.parametrize("abstention", [[], ["MISSING_VIEW"], None], ids=["none", "one", "null"])
def test_the_list_tells_what_is_not_known_any_more(
    hospital: tuple[str, Settings], exam: str, open_page: Open, abstention: list[str] | None
) -> None:
    address, _ = hospital
    unscored = {"exam": None, "study": "S-1", "state": "waiting", "score": None}

    def answer(route: Any) -> None:
        found = route.fetch().json()
        line = found["exams"][0] | {"abstention": abstention, "quality": [], "scale": None}
        route.fulfill(json=found | {"exams": [line, line | unscored]})

    page = open_page(address)
    page.route(re.compile(r"/v1/exams\?"), answer)
    page.click("text=Look again")
    page.wait_for_selector("tr[data-state=waiting]")
    scored, waiting = (
        page.locator(f"tr[data-state={state}]").inner_text() for state in ("scored", "waiting")
    )
    assert ("not known any more" in scored) == (abstention is None)
    assert "not known any more" not in waiting
