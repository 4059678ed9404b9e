"""The retrain flow: an episode in, the least invasive release that mends it out.

Started by the automation on ``mammo.drift.confirmed``, by schedule or by hand.
A changed acquisition is met in two steps: the scanner's operating point is set
at once from scores alone; then, when outcomes have come, the candidates meet the
gate on the same exams, least invasive first: recalibrated, recalibrated by
outcomes, fine-tuned with replay. Of those that pass, the least invasive that mends
the loss is taken; where none passes, one is trained from scratch. The flow
``refine`` sets points that were set from scores alone nearer, whenever the
scanner's exams have doubled.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows.approve import AWAITING, approved
from flows.deploy import deploy
from flows.ingest import ingest
from flows.package import package
from flows.progress import log_progress
from flows.retries import too_few
from flows.train import write_cards
from flows.validate import validate
from mammo.changes.taken_back import has_served, is_superseded, is_taken_back
from mammo.continual import mend
from mammo.continual.approval import needs_approval
from mammo.continual.mend import Assignment
from mammo.settings import Settings, read_settings

MINIMUM_LABELLED = 60
TAKEN_BACK = "taken back"
SUPERSEDED = "superseded"


@task
def claim(
    settings: Settings, episode_key: str | None, work: str | None = None
) -> Assignment | None:
    """Take the episode, or the work without one, on; exactly one run gets it."""
    run_id = str(flow_run.get_id())
    return mend.claim(settings, episode_key, run_id, started_by(), work)


def started_by() -> str:
    """Return who created the running flow run: ``AUTOMATION:name``, ``DEPLOYMENT`` or a person."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        creator = client.read_flow_run(UUID(flow_run.get_id())).created_by
    if creator is None:
        return "by hand"
    return ":".join(part for part in (creator.type, creator.display_value) if part)


# a scanner needs a few exams before its scores can be laid onto the reference
@task(retries=120, retry_delay_seconds=2, retry_condition_fn=too_few)
def recalibrate(settings: Settings, assignment: Assignment) -> dict[str, Any]:
    """Set the scanner's operating point; waits until it has exams enough."""
    return mend.recalibrated(settings, assignment)


# 12 minutes within one run; outcomes that take weeks are met by the scheduled retraining
@task(retries=240, retry_delay_seconds=3, retry_condition_fn=too_few)
def wait_for_outcomes(settings: Settings, assignment: Assignment, minimum: int) -> int:
    """Wait until enough exams of the scanner have an outcome."""
    return mend.require_labelled(settings, assignment, minimum)


@task
def fine_tune(
    settings: Settings, assignment: Assignment, strategy: str | None = None
) -> dict[str, Any]:
    """Train the champion further, by the strategy asked for or its own (replay by default)."""
    return mend.fine_tuned(settings, assignment, log_progress(), strategy)


@task
def calibrate_on_outcomes(
    settings: Settings, assignment: Assignment, made: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Make the recalibrated release anew by outcomes, for a scanner with a point of its own."""
    if assignment.scanner is None:
        return []
    recalibrated = made[0]["release"] if made else None
    again = mend.calibrated_on_outcomes(settings, assignment, recalibrated)
    return [] if again is None else [again]


@task
def train_from_scratch(settings: Settings, assignment: Assignment) -> dict[str, Any]:
    """Train anew: what is left where everything less invasive was refused."""
    return mend.from_scratch(settings, assignment, log_progress())


@task
def choose(settings: Settings, assignment: Assignment, candidates: list[str]) -> dict[str, Any]:
    """Let the gate choose: of those that pass, the least invasive that mends the loss."""
    return mend.choose(settings, assignment, candidates)


@task
def close(settings: Settings, assignment: Assignment, result: dict[str, Any]) -> None:
    """Close the episode and leave what happened in the Prefect UI."""
    mend.close(settings, assignment, result)
    lines = [one["summary"] for one in result["decisions"]]
    lines += [result["choice"]["text"]] if "choice" in result else []
    lines += [f"{result['chosen']}: {result['service']}"] if "service" in result else []
    create_markdown_artifact(
        key="retrain",
        markdown="\n".join(
            [f"## Chosen: `{result['chosen'] or 'none of them'}`", "```", *lines, "```"]
        ),
        description="Which candidates met the gate, and what it said",
    )


def meet_gate(
    settings: Settings, assignment: Assignment, candidates: list[dict[str, Any]]
) -> dict[str, Any]:
    """Let the gate choose among the candidates; where it refuses all, train from scratch.

    What was taken back out of service meanwhile is no candidate any more. All that were
    judged have their cards then: who is asked to approve one may read it.
    """
    made = [one["release"] for one in candidates]
    names = [one for one in made if not is_taken_back(settings, one)]
    result = choose(settings, assignment, names) if names else {"chosen": None, "decisions": []}
    if not result["chosen"]:
        scratch = train_from_scratch(settings, assignment)
        names = [*names, scratch["release"]]
        result = choose(settings, assignment, names) | {"scratch": scratch}
    for name in names:
        log_cards(settings, name)
    return result


def log_cards(settings: Settings, release_id: str) -> None:
    """Log the cards of a release that the gate has judged; a card stops no retraining."""
    write_cards(settings, release_id, return_state=True)


def put_into_service(release_id: str, reason: str, episode_key: str | None) -> None:
    """Package the release and begin its rollout: two flows of their own.

    How it comes into service is in the plan's clause for such a change: at once, or over
    shadow and canary, which the guard follows (docs/rollout.md).
    """
    package(release_id)
    deploy(release_id, reason=reason, episode_key=episode_key, stage="rollout")


def let_into_service(
    settings: Settings, release_id: str, reason: str, episode_key: str | None
) -> str:
    """Put a release into service that passed the gate, after a person's word where it needs one.

    Returns ``rollout``, or ``awaiting approval`` where nobody approved it in time; then
    `mammo approve` begins the rollout later. ``taken back`` for a release that the guard or
    a person took out of service, or out of its trial: only a person deploys it again.
    ``superseded`` for one that has served, as a new operating point does at once, and that
    another has followed since: put back, it would undo what that one brought.
    """
    if is_taken_back(settings, release_id):
        return TAKEN_BACK
    if is_superseded(settings, release_id):
        return SUPERSEDED
    if not approved(settings, release_id, reason, episode_key):
        return AWAITING
    put_into_service(release_id, reason, episode_key)
    return "rollout"


def serve_point(
    settings: Settings, made: dict[str, Any], reason: str, episode_key: str | None
) -> None:
    """Put a new operating point into service where the gate and nobody else has a word on it.

    Once: run again after a kill, it would undo a rollback of meanwhile, or put the point from
    scores back over the one by outcomes.
    """
    release, passed = made["release"], made["gate"]["passed"]
    if not passed or needs_approval(settings, release) is not None:
        return
    if not has_served(settings, release, episode_key) and not is_taken_back(settings, release):
        put_into_service(release, reason, episode_key)


@flow(name="recalibrate", persist_result=True, result_serializer="json")
def recalibrate_scanner(assignment: Assignment) -> list[dict[str, Any]]:
    """Step one: a new operating point for the scanner, in service at once if it passes."""
    settings = read_settings()
    made = recalibrate(settings, assignment)
    serve_point(settings, made, "recalibrate", assignment.key)
    log_cards(settings, made["release"])
    return [made]


def close_without_outcomes(
    settings: Settings, assignment: Assignment, made: list[dict[str, Any]]
) -> dict[str, Any]:
    """End with the recalibration alone; the scheduled retraining learns when outcomes are there."""
    decisions = [one["gate"] for one in made]
    passed = [one["release"] for one in made if one["gate"]["passed"]]
    chosen = next((one for one in passed if not is_taken_back(settings, one)), None)
    result = {"chosen": chosen, "decisions": decisions, "waiting": "outcomes did not come in time"}
    close(settings, assignment, result)
    return result | {"episode": assignment.key, "recalibrated": made}


@flow(name="retrain", persist_result=True, result_serializer="json")
def retrain(
    episode_key: str | None = None,
    reason: str = "manual",
    minimum_labelled: int = MINIMUM_LABELLED,
    strategy: str | None = None,
    work: str | None = None,
) -> dict[str, Any]:
    """Mend what the episode found, or retrain by schedule or hand; return what came of it.

    ``strategy`` is one of docs/strategies.md; that of the champion's configuration if None.
    ``work`` is the name of a retraining without an episode, which a dead run may have begun.
    """
    settings = read_settings()
    with mend.alone(settings, wait=True):
        return retrain_alone(settings, episode_key, reason, minimum_labelled, strategy, work)


def retrain_alone(
    settings: Settings,
    episode_key: str | None,
    reason: str,
    minimum_labelled: int,
    strategy: str | None,
    work: str | None = None,
) -> dict[str, Any]:
    """Do the work of `retrain`, with nobody else at it."""
    trial = mend.on_trial(settings) if episode_key is None else None
    if trial is not None:
        told = f"{trial} is on trial; `mammo trial` tells how far; another would end it"
        return {"episode": None, "skipped": told}
    assignment = claim(settings, episode_key, work)
    if assignment is None:
        return {"episode": episode_key, "skipped": "another run has it or it is closed"}
    made = recalibrate_scanner(assignment) if assignment.recalibrates else []
    if wait_for_outcomes(settings, assignment, minimum_labelled, return_state=True).is_failed():
        return close_without_outcomes(settings, assignment, made)
    ingest()
    validate()
    again = calibrate_on_outcomes(settings, assignment, made)
    tuned = fine_tune(settings, assignment, strategy)
    result = meet_gate(settings, assignment, [*made, *again, tuned])
    if result["chosen"]:
        result |= {"service": let_into_service(settings, result["chosen"], reason, assignment.key)}
    result |= {"episode": episode_key, "reason": reason, "recalibrated": made, "tuned": tuned}
    close(settings, assignment, result)
    return result


@task
def find_refinements(settings: Settings) -> list[str]:
    """Return the scanners whose exams have doubled since their point was set from scores."""
    return mend.scanners_to_refine(settings)


@task
def refine_scanner(settings: Settings, scanner: str) -> dict[str, Any] | None:
    """Set the scanner's point nearer, and judge the release on the golden set."""
    return mend.refined(settings, scanner)


@flow(name="refine", persist_result=True, result_serializer="json")
def refine() -> list[dict[str, Any]]:
    """Set operating points nearer that were set without outcomes; return what came of it."""
    settings = read_settings()
    made: list[dict[str, Any]] = []
    with mend.alone(settings, wait=False) as first:
        for scanner in find_refinements(settings) if first else []:
            one = refine_scanner(settings, scanner)
            if one is not None:
                serve_point(settings, one, "refine", None)
                log_cards(settings, one["release"])
            made.append({"scanner": scanner, "made": one})
    return made
