"""Evaluate a suite over chunks of any number of rows, with one verdict.

Great Expectations wants a frame in memory. A table of ten million rows is given
to it in chunks; every fact that spans rows is written beside each row before
(`data_checks.index_facts` and its like), so that each expectation looks at one
row alone, and the counts of the chunks add up to those of the whole.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pandas as pd

from data_checks.checks import Check, table_expectations, to_expectation
from mammo.settings import TELEMETRY_OFF

CHUNK_ROWS = 500_000
SHORT_TEXT = 6
"""Longer texts are not quoted in pages: they may be an identity that came in by mistake."""
_COUNTS = ("element_count", "missing_count", "unexpected_count")


@dataclass(frozen=True)
class Suite:
    """Expectations on one table. ``name`` is its key, ``title`` what its page is called.

    ``what`` is the table in words; ``columns`` must be there; ``least_rows`` of it.
    """

    name: str
    title: str
    what: str
    checks: tuple[Check, ...]
    columns: tuple[str, ...]
    least_rows: int = 1

    @property
    def page_name(self) -> str:
        """The suite's name in Great Expectations and in the pages' addresses."""
        return "exam_index" if self.name == "index" else self.name


@dataclass(frozen=True)
class Verdict:
    """What one suite found: in words, and as the engine's own result for its pages."""

    suite: Suite
    rows: int
    chunks: int
    failed: tuple[str, ...]
    warnings: tuple[str, ...]
    evaluated: int
    result: Any = field(repr=False)

    @property
    def passed(self) -> bool:
        """True when nothing critical is broken."""
        return not self.failed


def evaluate(suite: Suite, chunks: Iterable[pd.DataFrame], *, rows_too: bool = False) -> Verdict:
    """Run the suite on each chunk and add up what was found.

    With ``rows_too`` the result lists the index of every row that breaks an
    expectation: for tests on few rows.
    """
    os.environ.update(TELEMETRY_OFF)
    gx: Any = import_module("great_expectations")
    expectations = table_expectations(suite.columns, suite.what, least_rows=suite.least_rows)
    expectations += [to_expectation(check) for check in suite.checks]
    whole, rows, count = None, 0, 0
    with quiet():
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = _no_bars()
        asset = context.data_sources.add_pandas("store").add_dataframe_asset(suite.name)
        definition = asset.add_batch_definition_whole_dataframe("chunk")
        gx_suite = gx.ExpectationSuite(name=suite.page_name, expectations=expectations)
        for chunk in chunks:
            batch = definition.get_batch(batch_parameters={"dataframe": chunk})
            form = "COMPLETE" if rows_too else "SUMMARY"
            found = batch.validate(gx_suite, result_format={"result_format": form})
            whole = found if whole is None else _add(whole, found)
            rows, count = rows + len(chunk), count + 1
    if whole is None:
        raise ValueError(f"suite {suite.name!r} was given no chunk, not even an empty one")
    _settle(whole)
    broken = [result for result in whole.results if not result.success]
    return Verdict(
        suite,
        rows,
        count,
        tuple(in_words(result, rows) for result in broken if not _is_warning(result)),
        tuple(in_words(result, rows) for result in broken if _is_warning(result)),
        len(whole.results),
        whole,
    )


def _add(whole: Any, chunk: Any) -> Any:
    """Add the counts of a further chunk to those of the chunks before it."""
    for before, now in zip(whole.results, chunk.results, strict=True):
        if raised(now.exception_info):
            before.exception_info = now.exception_info
            before.success = False
        for name in _COUNTS:
            if name in now.result:
                before.result[name] = before.result.get(name, 0) + now.result[name]
        if "unexpected_count" in now.result:
            _add_examples(before.result, now.result)
        elif isinstance(now.result.get("observed_value"), int):
            before.result["observed_value"] += now.result["observed_value"]
        else:
            before.success = bool(before.success and now.success)
    return whole


def _add_examples(before: dict[str, Any], now: dict[str, Any]) -> None:
    counts = {str(one["value"]): one for one in (*before.get("partial_unexpected_counts", ()),)}
    for one in now.get("partial_unexpected_counts", ()):
        known = counts.setdefault(str(one["value"]), {"value": one["value"], "count": 0})
        known["count"] += one["count"]
    before["partial_unexpected_counts"] = list(counts.values())[:20]
    for name in ("partial_unexpected_list", "partial_unexpected_index_list"):
        before[name] = [*before.get(name, ()), *now.get(name, ())][:20]


def _settle(whole: Any) -> None:
    """Write the shares and verdicts that follow from the counts; hide texts."""
    for result in whole.results:
        found, config = result.result, result.expectation_config
        if "unexpected_count" in found:
            present = found["element_count"] - found.get("missing_count", 0)
            bad = found["unexpected_count"]
            share = 100 * bad / present if present else 0.0
            found["unexpected_percent"] = found["unexpected_percent_nonmissing"] = share
            found["unexpected_percent_total"] = 100 * bad / (found["element_count"] or 1)
            mostly = config.kwargs.get("mostly") or 1.0
            held = not present or 1 - bad / present >= mostly
            result.success = held and not raised(result.exception_info)
            _hide_texts(found)
        elif config.type == "expect_table_row_count_to_be_between":
            result.success = found["observed_value"] >= config.kwargs["min_value"]
    held = sum(bool(result.success) for result in whole.results)
    total = len(whole.results)
    whole.success = held == total
    whole.statistics = {
        "evaluated_expectations": total,
        "successful_expectations": held,
        "unsuccessful_expectations": total - held,
        "success_percent": 100 * held / total,
    }


def _hide_texts(found: dict[str, Any]) -> None:
    found["partial_unexpected_list"] = [
        _shown(value) for value in found.get("partial_unexpected_list", ())
    ]
    found["partial_unexpected_counts"] = [
        {"value": _shown(one["value"]), "count": one["count"]}
        for one in found.get("partial_unexpected_counts", ())
        if "value" in one
    ]


def _shown(value: Any) -> Any:
    """Return a value as a page may quote it: numbers, dates and short codes, no other text."""
    if isinstance(value, str) and len(value) > SHORT_TEXT:
        return f"(a text of {len(value)} characters)"
    return value


def in_words(result: Any, rows: int) -> str:
    """Say which expectation broke, on which column, in how many rows, and why it matters."""
    config = result.expectation_config
    words = (config.meta or {}).get("words") or config.type.replace("_", " ")
    column = config.kwargs.get("column")
    where = f" (column {column})" if column else ""
    return f"{words}{where}: {_found(result, rows)}{_why(config)}"


def _found(result: Any, rows: int) -> str:
    if result.exception_info and raised(result.exception_info):
        return "could not be evaluated"
    count = result.result.get("unexpected_count")
    if count is not None:
        return f"{count} of {rows} rows break it"
    missing = (result.result.get("details") or {}).get("mismatched", {}).get("missing")
    if missing:
        return f"{', '.join(missing)} missing"
    return f"found {result.result.get('observed_value')}"


def _why(config: Any) -> str:
    reason = (config.meta or {}).get("reason")
    return f" [{reason}]" if reason else ""


def _is_warning(result: Any) -> bool:
    severity = getattr(result.expectation_config, "severity", None) or "critical"
    return str(getattr(severity, "value", severity)) in ("warning", "info")


def raised(exception_info: dict[str, Any]) -> bool:
    """True when an expectation could not be evaluated."""
    if "raised_exception" in exception_info:
        return bool(exception_info["raised_exception"])
    return any(info.get("raised_exception") for info in exception_info.values())


def _no_bars() -> Any:
    types: Any = import_module("great_expectations.data_context.types.base")
    return types.ProgressBarsConfig(globally=False, metric_calculations=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep GX's notes on its own progress out of the caller's output."""
    logger = logging.getLogger("great_expectations")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
