"""The page of the history, and the commands about it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from flows.cli_changes import add_changes_commands
from mammo.changes.history import Event, read_history
from mammo.changes.page import render, write_page
from mammo.changes.timeline import Bars, draw_timeline
from mammo.changes.verify import ChangesReport
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings
from tests.bentos.judging import judge
from tests.changes.changing import make_history

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_history(tmp_path_factory.mktemp("page") / "home")
    judge(settings, "r-3", "f" * 64, passed=False, judged=("calibration",))
    PredictionLog(settings.log_url).open_episode(
        "k:1", stratum="ge 1.0", cause="acquisition", action="retrain", release_id="r-1"
    )
    return settings


def test_deployment_wrote_the_page(settings: Settings) -> None:
    text = (settings.reports_dir / "changes" / "index.html").read_text()
    assert "r-1: rollback" in text
    assert "no. 5" in text and "records and chain<b>intact" in text
    assert "r-3 refused" not in text, "it was judged after the last change"


def test_history_tells_all_that_happened_in_order(settings: Settings) -> None:
    events = read_history(settings)
    assert [one.kind for one in events] == [
        "passed",
        "passed",
        "change",
        "change",
        "change",
        "approval",
        "change",
        "change",
        "refused",
        "episode",
    ]
    assert [one.title for one in events if one.kind == "change"] == [
        "r-1: in service",
        "r-2: canary, 10%",
        "r-2: trial ended",
        "r-2: in service",
        "r-1: rollback",
    ]
    assert events[-2].text.endswith("Failed: calibration.")


def test_page_shows_what_is_wrong_where_it_is(settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(settings.home, home, symlinks=True)
    other = Settings(home=home, _env_file=None)
    (home / "keys" / "signing.pub").unlink()
    (home / "keys" / "other.pub").write_bytes(_stranger(tmp_path))
    text = write_page(other, tmp_path / "page.html").read_text()
    assert text.count("key unknown") == 10, "five warnings above, one at each change"
    assert "10 wrong" not in text and "5 wrong" in text


def _stranger(tmp_path: Path) -> bytes:
    from mammo.signing import public_bytes, signing_key

    return public_bytes(signing_key(tmp_path / "stranger").public_key())


def change(release: str, stage: str, champion: str, minute: float, **more: Any) -> Event:
    record = {"release": release, "stage": stage, "champion": champion, "percent": 10, **more}
    at = NOW + timedelta(minutes=minute)
    return Event(at, "change", release, "", release, 1, record)


def bars(*events: Event) -> list[tuple[str, str, float, float]]:
    lanes = Bars()
    for place, event in enumerate(events):
        assert event.record is not None
        lanes.follow(event.record, float(place))
    return sorted((one.lane, one.release, one.start, one.end) for one in lanes.finish(9.0))


def test_bars_follow_trial_promotion_and_rollback() -> None:
    assert bars(
        change("a", "champion", "a", 0),
        change("b", "shadow", "a", 1),
        change("b", "canary", "a", 2),
        change("b", "champion", "b", 3),
        change("c", "canary", "b", 4),
        change("a", "champion", "a", 5, rollback=True),
    ) == [
        ("answers", "a", 0.0, 3.0),
        ("answers", "a", 5.0, 9.0),
        ("answers", "b", 3.0, 5.0),
        ("trial", "b", 1.0, 2.0),
        ("trial", "b", 2.0, 3.0),
        ("trial", "c", 4.0, 5.0),
    ]


def test_hostile_texts_are_escaped() -> None:
    evil = '<script>alert(1)</script>"'
    record = {
        "release": evil, "stage": "canary", "champion": evil, "percent": 3, "by": evil,
        "episode_key": evil, "guard": {"guard": {"checks": [{"text": evil}]}},
        "gate": {"alpha": 0.1, "clauses": [{"name": evil, "state": evil, "text": evil}]},
    }  # fmt: skip
    event = Event(NOW, "change", evil, evil, evil, 1, record)
    text = render([event], ChangesReport(1, 0, None, (), (evil,)), NOW)
    assert "<script" not in text
    assert "default-src 'none'" in text


def test_no_history_has_no_picture() -> None:
    assert draw_timeline([]) == ""
    assert "No change is recorded yet" in render([], ChangesReport(0, 0, None, (), ()), NOW)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_browser_shows_it_and_complains_of_nothing(settings: Settings, tmp_path: Path) -> None:
    page, shot = write_page(settings, tmp_path / "page.html"), tmp_path / "shot.png"
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--enable-logging=stderr", "--v=0",
         "--window-size=1000,1400", f"--user-data-dir={tmp_path / 'profile'}",
         f"--screenshot={shot}", page.as_uri()],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    with Image.open(shot) as picture:
        assert len(picture.convert("L").getcolors(256) or ()) > 20


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    app = typer.Typer()
    add_changes_commands(app)
    app.command("other")(lambda: None)
    return lambda *words: CliRunner().invoke(app, ["changes", *map(str, words)])


def test_commands(run: Callable[..., Any], settings: Settings, tmp_path: Path) -> None:
    listed = json.loads(run("list", "--json").stdout)["changes"]
    assert [one["clause"] for one in listed] == ["C1", "C10 (C6)", "C13", "C6", "C12"]
    assert "C10 (C6)" in run("list").stdout
    shown = json.loads(run("show", 2, "--json").stdout)
    assert (shown["release"], shown["percent"]) == ("r-2", 10)
    verified = run("verify")
    assert verified.exit_code == 0, verified.output
    head = re.search(r"^head (\S+)$", verified.stdout, re.MULTILINE)
    assert head is not None
    assert run("verify", "--head", head[1]).exit_code == 0
    wrong = run("verify", "--head", f"5:{'0' * 64}", "--json")
    assert (wrong.exit_code, json.loads(wrong.stdout)["intact"]) == (1, False)
    unknown = run("show", 9)
    assert (unknown.exit_code, "1 to 5 are recorded" in unknown.stderr) == (2, True)
    assert json.loads(run("plan", "--json").stdout)["clauses"]["C5"]["approval"] == "low_power"
    assert run("page", "--to", tmp_path / "p.html").exit_code == 0
    assert (tmp_path / "p.html").exists()
