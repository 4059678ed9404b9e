"""What the report finds by itself in the real RSNA table."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mammo.data.query import IndexQuery, query_frame
from mammo.explore.section import ExploreContext, Section

pytestmark = pytest.mark.slow
SHARED = Path(os.environ.get("MAMMO_TEST_DATA", Path(__file__).parents[2].parent / "shared/data"))


@pytest.fixture(scope="module")
def rsna() -> Iterator[IndexQuery]:
    from mammo.data.sources.tabulate import tabulate

    table = SHARED / "rsna/train.csv"
    if not table.is_file():
        pytest.skip(f"the RSNA table is not at {table}; set MAMMO_TEST_DATA")
    with query_frame(tabulate("rsna", table, b"k" * 32)) as query:
        yield query


@pytest.mark.parametrize(
    ("chapter", "said"),
    [
        ("overview", "54,706 images of 23,826 breasts in 11,913 exams of 11,913 patients"),
        ("labels", "486 patients of 11,913 with a complete label have cancer: 4.1%"),
        ("labels", "47 negative breasts to each with cancer"),
        ("machines", "No machine stands at two sites (7 at site-1 and 3 at site-2)"),
        ("people", 'read it as "89 and over"'),
        ("readings", "At site-2 BI-RADS is stated only for recalls"),
        ("missing", "Density is missing in 46% of images: in every image of site-2"),
        ("missing", "At site-2, BI-RADS is stated in 2,571 images, every one of them negative"),
        ("conflicts", "No contradiction was found"),
        ("conflicts", "6 exams of 486 with cancer have it in both breasts"),
        ("bias", "differs between scanners more than chance allows"),
        ("shortcut", "mostly by age"),
    ],
)
def test_rsna(rsna: IndexQuery, chapter: str, said: str) -> None:
    assert said in _told(rsna, chapter)


_TOLD: dict[str, str] = {}


def _told(query: IndexQuery, chapter: str) -> str:
    if chapter not in _TOLD:
        module = importlib.import_module(f"mammo.explore.{chapter}")
        section: Section = module.build(query, ExploreContext("RSNA", None, 0))
        _TOLD[chapter] = "\n".join(section.warnings + section.sentences)
    return _TOLD[chapter]
