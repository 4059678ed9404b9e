"""`mammo drill`: each scenario of the simulated years on a live stack, its outcome checked.

Real: the Prefect server and worker, MLflow, the service, every HTTP request, the monitor's
flow, the automation, the retraining, the gate, the rollout and its guard, the records. Made
for the drill: phantoms, the pace (where outcomes are needed two years pass in the log at
once), and that scenarios do not follow each other: between two the log is kept aside and
emptied, and the first release is brought back. docs/drills.md tells what each scenario is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from flows import stack
from flows.cli_terminal import stage_bars
from flows.demo import (
    DEMO_KEY,
    PATIENCE_SECONDS,
    put_into_service,
    run_deployment,
    train_release,
)
from flows.demo_checks import MARKER, always, own_settings, require_own
from flows.demo_report import Recorder
from flows.demo_stream import Stream
from flows.drill_course import in_service
from flows.drill_harm import drill_bad_releases, drill_faulty_release
from flows.drill_material import Studio, draw
from flows.drill_report import Finding, finish_drill
from flows.drill_reset import forget, set_automation
from flows.drill_scenarios import CONFIG, TRAINING, Scenario, choose_scenarios
from flows.drill_stage import Stage, play
from flows.stack_services import ROOT
from mammo.errors import MammoError, StackUnhealthy, ValidationFailed
from mammo.pointer import read_pointer
from mammo.settings import Settings
from monitoring.config import MonitorConfig
from monitoring.release_reference import read_reference

MONITOR_POLICY = """# Evidently's report takes seconds: the drill has it where it is evidence
drift:
  evidently:
    on: alarm
"""
Act = Callable[[Stage], Finding]
HARMS: dict[str, tuple[str, Act]] = {
    "bad_releases": ("three releases that are worse, leaked, over-confident", drill_bad_releases),
    "faulty_release": ("a release that fails in service", drill_faulty_release),
}
"""What is no drift: acts of the drill that follow the scenarios, by name."""


def run_drill(directory: Path, names: Sequence[str] = (), *, as_json: bool = False) -> int:
    """Run scenarios (all for none) in ``directory``; return 0 when all is as it must be, else 1.

    Raises SourceInvalid for a name that is none.
    """
    harms = [name for name in HARMS if not names or name in names]
    named = [name for name in names if name not in HARMS]
    scenarios = choose_scenarios(named) if named or not names else ()
    require_own(directory)
    # nobody looks at a drill's images, and to keep one takes as long as to score it
    settings = own_settings(directory).model_copy(update={"image_days": 0.0})
    stack.down(settings)
    _clear(directory, settings)
    recorder = Recorder(directory, quiet=as_json)
    findings: list[Finding] = []
    with (
        always(lambda: stack.down(settings)),
        always(lambda: finish_drill(directory, settings, recorder, findings, as_json=as_json)),
        recorder.noting_failure(),
    ):
        _run(settings, directory, scenarios, harms, recorder, findings)
    return 0 if findings and all(one.is_right for one in findings) else 1


def list_drills() -> list[dict[str, str]]:
    """Return each scenario and act: name, what is planted, what it has to be called."""
    rows = [
        {
            "name": one.name,
            "planted": one.planted,
            "named": " and ".join(" or ".join(any_of) for any_of in one.causes) or "nothing",
            "course": one.course,
        }
        for one in choose_scenarios(())
    ]
    acts = {name: planted for name, (planted, _) in HARMS.items()}
    return rows + [
        {"name": name, "planted": planted, "named": "refused or rolled back", "course": "harm"}
        for name, planted in acts.items()
    ]


def _clear(directory: Path, settings: Settings) -> None:
    """Begin in a home of its own, with the policies of a drill."""
    for name in ("home", "logs"):
        shutil.rmtree(directory / name, ignore_errors=True)
    settings.home.mkdir(parents=True)
    (directory / MARKER).write_text("`mammo drill` deletes home beside this file.\n")
    (settings.home / "pseudonym.key").write_bytes(DEMO_KEY)
    (settings.home / "monitor.yaml").write_text(MONITOR_POLICY)
    shutil.copy(ROOT / "configs" / "rollout" / "demo.yaml", settings.home / "rollout.yaml")


def _run(
    settings: Settings,
    directory: Path,
    scenarios: Sequence[Scenario],
    harms: Sequence[str],
    recorder: Recorder,
    findings: list[Finding],
) -> None:
    """A release in service first; then each scenario, timed."""
    studio = Studio(directory / "material")
    with recorder.stage("stack and material"):
        _start(settings, studio, recorder)
    with recorder.stage("train and put into service"):
        _serve(settings, studio, recorder)
    stream = recorder.stream = Stream(settings)
    stage = Stage(settings, directory, recorder, stream, studio, in_service(settings))
    set_automation(settings, on=False)
    with always(studio.close):
        for here, then in zip(scenarios, [*scenarios[1:], None], strict=True):
            with recorder.stage(here.name):
                findings.append(_tried(here.name, here.planted, partial(play, stage, here, then)))
        for name in harms:
            with recorder.stage(name):
                findings.append(_tried(name, HARMS[name][0], partial(_harm, stage, name)))


def _harm(stage: Stage, name: str) -> Finding:
    """Play an act of harm against whichever release serves by now."""
    stage.champion = in_service(stage.settings)
    forget(stage, name)
    return HARMS[name][1](stage)


def _tried(name: str, planted: str, act: Callable[[], Finding]) -> Finding:
    """Play it; what ends it is its finding, and the next one is played all the same."""
    try:
        return act()
    except MammoError as error:
        return Finding.ended(name, planted, f"{error.code}: {error.message}")


def _start(settings: Settings, studio: Studio, recorder: Recorder) -> None:
    """Start the stack while the training's phantoms are drawn."""
    place = studio.material / TRAINING.name
    with ThreadPoolExecutor(1) as background, stage_bars(quiet=recorder.quiet) as advance:
        starting = background.submit(partial(stack.up, settings, timeout=PATIENCE_SECONDS))
        draw(place, TRAINING, progress=partial(advance, f"{TRAINING.name} phantoms"))
        report = starting.result()
    if not report.healthy:
        raise StackUnhealthy("The stack did not become healthy; see `mammo status`.")
    os.environ.update(settings.child_environment())  # before Prefect reads its address


def _serve(settings: Settings, studio: Studio, recorder: Recorder) -> None:
    given = {"source": "rsna", "directory": str(studio.folder(TRAINING)), "config": CONFIG}
    run_deployment(settings, "ingest/ingest", given, recorder)
    recorder.champion = train_release(settings, recorder, CONFIG)
    put_into_service(settings, recorder.champion["release"], recorder)
    _require_reference(settings)


def _require_reference(settings: Settings) -> None:
    """Raise ValidationFailed where a known scanner has too few reference exams.

    It would be learnt from its own exams first, and what is planted there not be tested.
    """
    reference = read_reference(read_pointer(settings.pointer_path) or {}, settings)
    counts = reference["scanner"].value_counts().to_dict()
    least = MonitorConfig().min_reference
    if thin := [f"{n} of {name}" for name, n in counts.items() if n < least]:
        raise ValidationFailed(
            f"The reference of the drill's release holds {', '.join(thin)}; each scanner needs "
            f"{least}. Train with more exams."
        )
