"""Does the permit of a release still stand? Refuse one that is old, or was withdrawn since.

python .github/scripts/standing_permit.py FILE --withdrawn "r-20261122-1a2b3c4d, 9f86d081…"

FILE holds permit.json, or several of one image one after the other, of which the newest counts.
Their signatures are for whoever calls this to check: this looks at what a signature cannot say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DAYS = 30
"""How long a permit counts: after that the house is asked again, by a context written anew."""
AHEAD = timedelta(days=1)
"""How far the house's clock may be before this one."""
NAMED = re.compile(r"r-\d{8}-[0-9a-f]{8}|[0-9a-f]{64}")


def read_permits(text: str) -> list[dict[str, Any]]:
    """Return the permits in a text, the newest last; raises SystemExit where one is none."""
    decoder, found = json.JSONDecoder(), []
    try:
        while text := text.lstrip():
            told, end = decoder.raw_decode(text)
            at = datetime.fromisoformat(told["written_at"]).astimezone(UTC)
            found.append({"release": told["release"], "digest": told["digest"],
                          "text": told["permit"]["text"], "at": at})  # fmt: skip
            text = text[end:]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"the permit cannot be read: {type(error).__name__}") from error
    return sorted(found, key=lambda one: one["at"])


def withdrawn_names(text: str) -> set[str]:
    """Return ids and digests of a list; raises SystemExit for a slip, which is neither."""
    names = set(text.replace(",", " ").split())
    if wrong := sorted(one for one in names if not NAMED.fullmatch(one)):
        raise SystemExit(
            f"MAMMO_WITHDRAWN: {wrong[0]!r} is neither a release's id nor a digest of 64 digits"
        )
    return names


def require_standing(permit: dict[str, Any], withdrawn: set[str], now: datetime) -> None:
    """Raise SystemExit where a permit is too old, of tomorrow, or withdrawn."""
    if named := withdrawn & {permit["release"], permit["digest"]}:
        raise SystemExit(f"{', '.join(sorted(named))} was withdrawn (MAMMO_WITHDRAWN)")
    age = now - permit["at"]
    if age > timedelta(days=DAYS):
        raise SystemExit(
            f"the permit of {permit['release']} is {age.days} days old, and counts for {DAYS}: "
            "write the context again where the gate's books are"
        )
    if age < -AHEAD:
        raise SystemExit(f"the permit of {permit['release']} is of {permit['at']:%Y-%m-%d}")


def main(words: list[str]) -> int:
    """Print which release is permitted by what; or say why not, and end with status 1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--withdrawn", default="", help="ids of releases, or digests")
    arguments = parser.parse_args(words)
    permits = read_permits(arguments.file.read_text())
    if not permits:
        raise SystemExit("there is no permit")
    withdrawn = withdrawn_names(arguments.withdrawn)
    require_standing(permits[-1], withdrawn, datetime.now(UTC))
    print(f"{permits[-1]['release']}: {permits[-1]['text']} ({permits[-1]['at']:%Y-%m-%d})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
