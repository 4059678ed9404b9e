"""Checks a change record against its JSON Schema (2020-12), which is beside this file."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from mammo.changes.record import SCHEMA_PATH

MOST_ERRORS = 3


def schema() -> dict[str, Any]:
    """Return the schema of `change_record.json`."""
    content: dict[str, Any] = json.loads(SCHEMA_PATH.read_text())
    return content


def check_schema(record: Mapping[str, Any]) -> list[str]:
    """Return where the record is against the schema and how, at most `MOST_ERRORS`."""
    errors = sorted(_validator().iter_errors(record), key=lambda one: one.json_path)
    told = [f"{one.json_path}: {_short(one.message)}" for one in errors[:MOST_ERRORS]]
    more = len(errors) - len(told)
    return [*told, f"and {more} more"] if more else told


@functools.cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def _short(message: str) -> str:
    return message if len(message) <= 160 else f"{message[:157]}..."
