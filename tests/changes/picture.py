"""Draws docs/pictures/changes.png: the page of a made-up history of seven months.

    python -m tests.changes.picture [light.png]

The code that deploys and records makes it, with fake releases and a clock that is set: no
network, no patient and no figure in it was measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa

from bentos.screening import deployment
from bentos.screening.change_record import Why
from mammo.changes.page import write_page
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.prediction_log.tables import APPROVALS, EPISODES, GATES
from mammo.settings import Settings
from tests.bentos.conftest import make_release
from tests.bentos.deploying import accept, pack
from tests.bentos.judging import approve, judge

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "changes.png"
CHECKS = ("errors", "latency", "agreement", "recall rate")
FIRST, POINT, REFUSED = "r-20260112-5e1d90aa", "r-20260303-0c77b2e4", "r-20260320-94ab03d1"
TUNED, FINER, SLOW = "r-20260402-b7f4c6a0", "r-20260508-21e8d95c", "r-20260615-e30a7f18"
LAST = "r-20260721-6d52c8bf"


class Programme:
    """A home, and a clock that every row is written by."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, _env_file=None)
        self.log = PredictionLog(self.settings.log_url).create()

    def judged(self, at: str, release: str, kind: str, **decision: Any) -> None:
        """Pack a release and bring it before the gate."""
        pack(self.settings, release, kind=kind, permitted=False)
        served = (read_pointer(self.settings.pointer_path) or {}).get("release_id")
        digest = make_release(release).digest
        judge(self.settings, release, digest, champion=served, **decision)
        self._date(GATES, GATES.c.challenger == release, at=at)

    def approved(self, at: str, release: str) -> None:
        """Let a person approve a release."""
        approve(self.settings, release, make_release(release).digest, by="dr-koch")
        self._date(APPROVALS, APPROVALS.c.release_id == release, at=at)

    def found(self, at: str, key: str, cause: str, action: str, release: str) -> None:
        """Open an episode."""
        told = {"cause": cause, "action": action, "release_id": release}
        self.log.open_episode(key, stratum="north / Aurora 2 / 2.1", **told)
        self._date(EPISODES, EPISODES.c.key == key, opened_at=at, status="closed")

    def moved(self, at: str, release: str, stage: str, percent: int, why: Why) -> None:
        """Put a release into service, or beside it."""
        options: dict[str, Any] = {"stage": stage, "percent": percent, "wait": False}
        with _clock(at):
            deployment.deploy_release(release, self.settings, why=why, check=accept, **options)

    def back(self, at: str, *, trial: bool, why: Why) -> None:
        """End the trial, or roll back."""
        with _clock(at):
            if trial:
                deployment.stop_challenger(self.settings, why=why, wait=False)
            else:
                deployment.rollback(self.settings, why=why, wait=False, check=accept)

    def _date(self, table: sa.Table, rows: sa.ColumnElement[bool], **values: str) -> None:
        instants = {k: datetime.fromisoformat(v) if "T" in v else v for k, v in values.items()}
        with sa.create_engine(self.settings.log_url).begin() as connection:
            connection.execute(table.update().where(rows).values(**instants))


def _clock(at: str) -> Any:
    return mock.patch("bentos.screening.pointing._now", lambda: f"{at}:00+00:00")


def seen(release: str, stage: str, exams: int, harm: str | None = None) -> dict[str, Any]:
    """What the guard tells of a trial."""
    checks = []
    for name in CHECKS:
        verdict = "harm" if name == harm else "open" if harm else "cleared"
        checks.append({"name": name, "verdict": verdict, "text": f"{name}: {verdict}"})
    return {"guard": {"release": release, "stage": stage, "exams": exams, "checks": checks}}


def by_guard(release: str, stage: str, exams: int, harm: str | None = None) -> Why:
    """Why the guard moves a release."""
    reason = "harm" if harm else "rollout"
    return Why(reason, None, "guard", seen(release, stage, exams, harm))


def lead(programme: Programme, release: str, start: str, key: str, reason: str) -> None:
    """Lead a release over shadow and two canaries into service."""
    began = datetime.fromisoformat(start)
    days = [f"{began + timedelta(days=one):%Y-%m-%dT%H:%M}" for one in (0, 4, 9, 17)]
    programme.moved(days[0], release, "shadow", 0, Why(reason, key, "retrain"))
    programme.moved(days[1], release, "canary", 10, by_guard(release, "shadow", 2000))
    programme.moved(days[2], release, "canary", 50, by_guard(release, "canary", 1000))
    programme.moved(days[3], release, "champion", 0, by_guard(release, "canary", 4000))


def make_programme(home: Path) -> Settings:
    """Seven months: a recalibration, a refusal, two rollouts, a stopped trial, a rollback."""
    one = Programme(home)
    one.judged("2026-01-12T09:10", FIRST, "trained")
    one.moved("2026-01-12T10:00", FIRST, "champion", 0, Why("first", by="dr-koch"))
    one.found("2026-03-03T02:00", "e:1", "acquisition", "recalibrate_and_retrain", FIRST)
    one.judged("2026-03-03T02:20", POINT, "recalibrated")
    one.moved("2026-03-03T02:25", POINT, "champion", 0, Why("recalibrate", "e:1", "retrain"))
    one.judged("2026-03-20T03:00", REFUSED, "fine_tuned", passed=False, judged=("subgroups",))
    one.judged("2026-04-02T03:00", TUNED, "fine_tuned")
    lead(one, TUNED, "2026-04-02T03:10", "e:1", "drift")
    one.judged("2026-05-08T01:00", FINER, "recalibrated")
    one.moved("2026-05-08T01:05", FINER, "champion", 0, Why("refine", by="refine"))
    one.judged("2026-06-15T03:00", SLOW, "fine_tuned", approval="An equal one passes with 31%.")
    one.approved("2026-06-16T08:30", SLOW)
    one.moved("2026-06-16T08:31", SLOW, "shadow", 0, Why("labels", None, "reconcile"))
    one.moved("2026-06-20T04:00", SLOW, "canary", 10, by_guard(SLOW, "shadow", 2000))
    one.back("2026-06-20T09:12", trial=True, why=by_guard(SLOW, "canary", 61, "latency"))
    one.found("2026-07-21T02:00", "e:2", "concept", "retrain", FINER)
    one.judged("2026-07-21T03:00", LAST, "fine_tuned")
    lead(one, LAST, "2026-07-21T03:10", "e:2", "drift")
    one.back("2026-08-07T07:01", trial=False, why=by_guard(LAST, "probation", 212, "recall rate"))
    return one.settings


def photograph(page: Path, picture: Path, *, dark: bool = False, height: int = 1180) -> None:
    """Take a picture of a page in chromium, without its window."""
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--window-size=1060,{height}", f"--user-data-dir={profile}", *scheme,
             f"--screenshot={picture}", page.resolve().as_uri()],
            capture_output=True, timeout=120, check=True,
        )  # fmt: skip


def main() -> None:
    """Draw the picture; a second one, of a dark screen, where the first is not the docs'."""
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    with tempfile.TemporaryDirectory() as folder:
        settings = make_programme(Path(folder) / "home")
        page = write_page(settings, Path(folder) / "page.html")
        photograph(page, picture)
        if picture != PICTURE:
            photograph(page, picture.with_stem(f"{picture.stem}-dark"), dark=True, height=1900)


if __name__ == "__main__":
    main()
