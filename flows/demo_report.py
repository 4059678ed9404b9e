"""What the demo measures, and how it is shown: summary.json, the table, the picture."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from flows.demo_stream import Stream
from mammo.changes.origin import code_origin
from mammo.continual.phases import draw_stream, summarise_phase
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings

MEMORY_SECONDS = 5.0


@dataclass
class Recorder:
    """Collects what each stage did while the demo runs."""

    directory: Path
    quiet: bool = False
    target_recall_rate: float | None = None
    code: dict[str, Any] = field(default_factory=code_origin)
    stages: list[dict[str, Any]] = field(default_factory=list)
    planted: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    champion: dict[str, Any] = field(default_factory=dict)
    real_exams: list[dict[str, Any]] = field(default_factory=list)
    by_dicom: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    episode: dict[str, Any] = field(default_factory=dict)
    false_alarms: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    live: tuple[int, int] = (0, 0)
    approved: list[str] = field(default_factory=list)
    stopped: str | None = None
    changes: int = 0
    stream: Stream | None = None
    peak_mb: float = 0.0
    failure: str | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def is_terminal(self) -> bool:
        """True when a person looks at the output."""
        return sys.stdout.isatty() and not self.quiet

    def say(self, line: str) -> None:
        """Print a line for people on stderr."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and note whether it passed."""
        self.say(f"{name} ...")
        row = {"name": name, "status": "failed", "seconds": 0.0}
        self.stages.append(row)
        started = time.monotonic()
        try:
            yield
            row["status"] = "passed"
        except (KeyboardInterrupt, SystemExit):
            row["status"] = "interrupted"
            raise
        finally:
            row["seconds"] = round(time.monotonic() - started, 1)
            self.say(f"{name}: {row['status']}, {row['seconds']} s")

    def event(self, label: str, kind: str = "info") -> None:
        """Mark the present place in the stream."""
        at = len(self.stream.scored) if self.stream else 0
        self.events.append({"at": at, "label": label, "kind": kind})

    def swap(self, pointer: dict[str, Any] | None) -> None:
        """Mark that another release is in service."""
        if pointer is not None:
            self.event(pointer["release_id"], "release")

    def refuse(self, reports: Iterable[dict[str, Any]]) -> None:
        """Keep what ingest refused; its digests lead back to the planted files."""
        for one in reports:
            name = self.digests.get(one["sha256"], f"sha256 {one['sha256'][:12]}")
            self.quarantined.append({"file": name, "code": one["code"]})

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Keep what ended the demo."""
        try:
            yield
        except BaseException as error:
            self.failure = f"{type(error).__name__}: {error}"
            raise

    @contextmanager
    def watching_memory(self) -> Iterator[None]:
        """Sample the memory of this process and all below it, and of the stack's."""
        done = threading.Event()
        thread = threading.Thread(target=self._watch, args=(done,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(MEMORY_SECONDS):
            self.peak_mb = max(self.peak_mb, memory_mb(str(self.directory.resolve() / "home")))


def memory_mb(home: str) -> float:
    """Return the proportional memory in MB of this process and of every process of ``home``."""
    total, own = 0, psutil.Process()
    mine = {own.pid, *(child.pid for child in own.children(recursive=True))}
    for process in psutil.process_iter():
        try:
            if process.pid in mine or process.environ().get("MAMMO_HOME") == home:
                total += process.memory_full_info().pss
        except psutil.Error:
            continue  # it ended while we looked, or is somebody else's
    return total / 2**20


def finish(recorder: Recorder, settings: Settings) -> dict[str, Any]:
    """Write summary.json and the picture; return the summary."""
    summary = summarise(recorder, settings)
    recorder.directory.mkdir(parents=True, exist_ok=True)
    (recorder.directory / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    if exams := _first_time(recorder):
        draw_stream(
            exams,
            recorder.events,
            recorder.directory / "timeline.png",
            target_recall_rate=recorder.target_recall_rate,
        )
    return summary


def summarise(recorder: Recorder, settings: Settings) -> dict[str, Any]:
    """Return the demo's summary; every value was measured in this run."""
    phases = _phases(recorder)
    return {
        "code": recorder.code,
        "stages": recorder.stages,
        "failure": recorder.failure,
        "real_exams": [
            {name: exam[name] for name in ("exam", "source", "score", "decision", "quality")}
            for exam in recorder.real_exams
        ],
        "by_dicom": recorder.by_dicom,
        "quarantined": recorder.quarantined,
        "champion": _champion(recorder.champion),
        "episode": _episode(recorder.episode),
        "refused": recorder.refused,
        "stopped_by_guard": recorder.stopped,
        "approved": recorder.approved,
        "change_records": recorder.changes,
        "gates": _gates(settings),
        "target_recall_rate": recorder.target_recall_rate,
        "after": _after(phases),
        "phases": phases,
        "false_alarms_before": recorder.false_alarms,
        "requests": {
            "sent": recorder.stream.sent if recorder.stream else 0,
            "failed": recorder.stream.failed if recorder.stream else 0,
            "repeated_exams": len(recorder.stream.scored if recorder.stream else [])
            - len(_first_time(recorder)),
            "errors": recorder.stream.errors[:10] if recorder.stream else [],
        },
        "logged_exams": _logged(settings),
        "trained_on": "phantoms: these numbers say that the loop works, not how well it reads",
        "seconds_total": round(time.monotonic() - recorder.began, 1),
        "peak_mb": round(recorder.peak_mb),
    }


def _first_time(recorder: Recorder) -> list[dict[str, Any]]:
    """Return the answered exams; one that was sent again tells nothing new."""
    scored = recorder.stream.scored if recorder.stream else []
    return [exam for exam in scored if not exam["repeat"]]


def _champion(champion: dict[str, Any]) -> dict[str, Any]:
    auc = champion.get("metrics", {}).get("golden_auc", {})
    return {
        "release": champion.get("release"),
        "mlflow_version": champion.get("mlflow_version"),
        "bento_tag": champion.get("bento_tag"),
        "auc": auc.get("value"),
        "auc_low": auc.get("low"),
        "auc_high": auc.get("high"),
    }


def _episode(episode: dict[str, Any]) -> dict[str, Any]:
    names = ("key", "cause", "action", "exams_to_alarm", "flow_run_id", "started_by")
    result = (episode.get("evidence") or {}).get("result") or {}
    refused = {
        one["release"]: one["failed"] for one in result.get("decisions") or [] if not one["passed"]
    }
    told = {"chosen": result.get("chosen"), "refused": refused}
    return {name: episode.get(name) for name in names} | told


def _phases(recorder: Recorder) -> list[dict[str, Any]]:
    """Group the stream by scanner known or new, and by the release that answered."""
    change = next((e["at"] for e in recorder.events if e["label"] == "new scanner"), None)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for exam in _first_time(recorder):
        new = change is not None and exam["number"] > change
        groups.setdefault(("new" if new else "known", exam["release"]), []).append(exam)
    return [
        {"scanner": scanner, "release": release, **summarise_phase(exams)}
        for (scanner, release), exams in groups.items()
    ]


def _after(phases: list[dict[str, Any]]) -> dict[str, Any]:
    """Pick before, during and after out of the phases."""
    before = next((one for one in phases if one["scanner"] == "known"), None)
    new = [one for one in phases if one["scanner"] == "new"]
    last = new[-1] if new else None

    def rate(phase: dict[str, Any] | None) -> float | None:
        return phase["recall"]["value"] if phase and phase["recall"] else None

    return {
        "release": last["release"] if last else None,
        "auc": last["auc"]["value"] if last and last["auc"] else None,
        "recall_before": rate(before),
        "recall_during": rate(new[0] if new else None),
        "recall_after": rate(last),
    }


def _gates(settings: Settings) -> dict[str, Any]:
    """Return how often the golden set was looked at, and what was spent of its alpha."""
    gates = PredictionLog(settings.log_url).create().gates()
    refused = [one for one in gates if not one["passed"]]
    total = next((one["decision"]["ledger"]["total"] for one in gates if one["decision"]), 0.0)
    spent = sum(one["alpha"] for one in refused)
    return {"looks": len(gates), "refused": len(refused), "spent": spent, "total": total}


def _logged(settings: Settings) -> int:
    """Return how many exams the prediction log holds."""
    return len(PredictionLog(settings.log_url).create().exams())


def show_summary(
    summary: dict[str, Any], settings: Settings, recorder: Recorder, *, up: bool, as_json: bool
) -> None:
    """Print the summary: JSON for machines, tables and links for people."""
    if as_json:
        print(json.dumps(summary))
        return
    from flows.demo_tables import print_tables

    print_tables(summary, settings, recorder.directory, up=up)
