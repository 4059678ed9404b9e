"""'Start in five minutes' and the commands of a guide, as they stand on the pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ci.workflows import ROOT

pytestmark = pytest.mark.stack
DOCS = ROOT / "docs"


def blocks(page: str) -> dict[str, str]:
    """Return the commands of each section of a page, by the section's title."""
    parts = re.split(r"^## \d+\. (.+)$", (DOCS / page).read_text(), flags=re.M)[1:]
    return {
        title: "\n".join(re.findall(r"^```\n(.*?)^```$", text, re.M | re.S))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


START = blocks("start.md")
GUIDE = blocks("guides/own_data.md")
JUDGEMENTS = {"gate": "golden_auc_above_chance", "shortcuts": "fails"}
"""What a network of one pass may be told, with status 1, and what is printed then."""


class Newcomer:
    """Somebody in an empty folder, in an environment that `make setup` made."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.folder, self.told = folder, ""
        self.environment = os.environ | {
            "PATH": path,
            "MAMMO_HOME": str(folder / "runs/start"),
            # golden exams and holdout follow from pseudonyms: few keys give too few of a class
            "MAMMO_PSEUDONYM_KEY": bytes(range(32)).hex(),
        }

    def types(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands as they stand; the first that fails ends them."""
        script = f"set -euo pipefail\n{commands}"
        return subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    somebody = Newcomer(tmp_path_factory.mktemp("newcomer"))
    for title in ("Make exams and take them in (half a minute)", "Train (one minute)"):
        done = somebody.types(START[title])
        assert done.returncode == 0, f"{title}: {done.stdout[-3000:]}"
        somebody.told = done.stdout
    yield somebody


def release_of(newcomer: Newcomer) -> str:
    made = sorted((newcomer.folder / "runs/start/releases").glob("r-*"))
    return made[-1].name


def test_what_is_not_typed_here_is_the_set_up_and_the_demo() -> None:
    """The tests' own set-up is the first, CI runs the second."""
    rest = [title for title, text in START.items() if "make " in text or "git " in text]
    assert [START[title].splitlines()[-1] for title in rest] == [
        "export MAMMO_HOME=$PWD/runs/start",
        "make demo",
    ]
    assert len(START) == 5 and all(START.values())


def test_a_release_is_named(newcomer: Newcomer) -> None:
    assert release_of(newcomer) in newcomer.told and "auc" in newcomer.told, newcomer.told


def test_it_is_looked_at_and_scores_an_exam(newcomer: Newcomer) -> None:
    done = newcomer.types(START["Look at it, score an exam"])
    assert done.returncode == 0, done.stdout[-3000:]
    assert "recall" in done.stdout.lower()


@pytest.mark.parametrize("section", ["Look before you train", "Judge"])
def test_the_guide_to_own_data(newcomer: Newcomer, section: str) -> None:
    for command in GUIDE[section].replace("RELEASE", release_of(newcomer)).splitlines():
        done = newcomer.types(command)
        judged = JUDGEMENTS.get(command.split()[1])
        refused = judged is not None and done.returncode == 1 and judged in done.stdout
        assert done.returncode == 0 or refused, f"{command}: {done.stdout[-3000:]}"
