"""Third-party notices: no pin of the lock is left out, and what is not free is named."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from tests.ci.workflows import ROOT

TEXT = (ROOT / "THIRD_PARTY_NOTICES.md").read_text()
LINES = {
    line[0]: line[1:]
    for line in re.findall(r"^\| ([\w.-]+) \| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)
}


def notices() -> ModuleType:
    path = ROOT / "deploy" / "setup" / "third_party_notices.py"
    spec = importlib.util.spec_from_file_location("third_party_notices", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_pin_has_a_line() -> None:
    pins = notices().pins((ROOT / "requirements.lock").read_text())
    assert len(pins) > 300
    missing = [name for name in pins if name not in LINES]
    assert missing == [], "run `python deploy/setup/third_party_notices.py`"


def test_pins_are_read_with_extras_and_markers() -> None:
    lock = "# a comment\nA_b==1.0\nc[d]==2 ; sys_platform == 'linux'\n    # via c\n"
    assert notices().pins(lock) == ["a-b", "c"]


def test_every_line_has_a_licence() -> None:
    assert not [name for name, (told, _) in LINES.items() if told in ("", "UNKNOWN", "None")]


@pytest.mark.parametrize(
    ("name", "licence", "extras"),
    [
        ("ultralytics", "AGPL-3.0-or-later", "yolo"),
        ("pylibjpeg-libjpeg", "GPL-3.0-only", "bench"),
        ("pydicom", "MIT", "always"),
        ("mlflow", "Apache-2.0", None),
    ],
)
def test_what_is_told_of_them(name: str, licence: str, extras: str | None) -> None:
    assert LINES[name][0] == licence
    assert extras is None or LINES[name][1] == extras


def test_the_strong_ones_are_told_apart() -> None:
    top = TEXT.partition("## Everything")[0]
    strong = [name for name, (told, _) in LINES.items() if re.search("GPL|EPL|Proprietary", told)]
    assert len(strong) >= 5
    assert [name for name in strong if f"| {name} |" not in top] == []


def test_a_package_that_says_nothing_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="no-such-package is not installed"):
        notices().licence("no-such-package")
