"""`mammo azure`: hand work to an Azure ML workspace, deploy there, see how it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import Json, reported, say, settings_from_environment, show, show_rows

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read and check everything, print it, ask Azure nothing.")
]
Image = Annotated[str | None, typer.Option(help="Container image, best by digest.")]


def add_azure_commands(app: typer.Typer) -> None:
    """Add the `mammo azure` sub-app."""
    azure = typer.Typer(
        help="Azure ML: submit training, deploy the service, see how both are (docs/azure.md).",
        no_args_is_help=True,
    )
    azure.command(epilog="Example: mammo azure submit pipeline --wait, and with --dry-run")(submit)
    azure.command(
        epilog="Example: mammo azure deploy --image ghcr.io/OWNER/mammo-service-release@sha256:..."
    )(deploy)
    azure.command(epilog="Example: mammo azure status --json")(status)
    azure.command(epilog="Example: mammo azure scores --to azure-scores --days 7")(scores)
    app.add_typer(azure, name="azure")


@reported
def submit(
    what: Annotated[
        str, typer.Argument(help="pipeline, train, schedule, monitor, environment, or a file.")
    ],
    image: Image = None,
    tag: Annotated[list[str] | None, typer.Option(help="NAME=VALUE at the job; repeat it.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Hand a job, a schedule or an environment of deploy/azure to the workspace.

    Status 1 when the job was waited for and did not complete.
    """
    from flows.azure_jobs import submit as hand_over
    from flows.azure_jobs import wait_for
    from flows.azure_specs import as_document, find_spec, load_spec

    path, tags = find_spec(what), _pairs(tag or [])
    if dry_run:
        show(as_document(load_spec(path)), as_json=True)
        return
    client = _client()
    made = hand_over(client, path, image=image, tags=tags)
    if wait and "job" in made:
        if not as_json:
            say(f"{made['job']} at {made['studio']}")
        made |= wait_for(client, made["job"], _changes())
    show(made, as_json=as_json, title="Submitted")


@reported
def deploy(
    image: Annotated[str, typer.Option(help="Image of the service, best by digest.")],
    steps: Annotated[
        str, typer.Option(help="Percent of requests at each step, rising to 100.")
    ] = "10,50,100",
    hold: Annotated[
        float, typer.Option(min=0, help="Seconds that each share is held before it is judged.")
    ] = 300.0,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put an image beside the one that answers, lead requests over, back where it is unwell.

    Status 1 when it was rolled back. Which release of the model answers is another
    question: `mammo gate` and `mammo deploy`.
    """
    from flows.azure_rollout import plan, read_deployment, roll_out
    from flows.azure_specs import FOLDER, as_document, load_spec

    percents = plan(_numbers(steps))
    if dry_run:
        wanted = read_deployment(image)
        endpoint = as_document(load_spec(FOLDER / "endpoint.yml"))
        asked = {"endpoint": endpoint, "deployment": as_document(wanted), "steps": percents}
        show(asked, as_json=True)
        return
    quiet = (lambda _line: None) if as_json else say
    done = roll_out(_client(), image, percents, hold_seconds=hold, say=quiet)
    show(done.to_dict(), as_json=as_json, title="Deployed")


@reported
def status(
    job: Annotated[str | None, typer.Argument(help="One job; else the newest of all.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Show the newest jobs, the endpoint, its colours and their share of the requests."""
    from flows.azure_jobs import look_at, newest_jobs
    from flows.azure_rollout import tell_endpoint
    from flows.azure_workspace import AzureSettings
    from mammo.errors import AzureNotFound

    if dry_run:
        subscription, group, workspace = AzureSettings().require()
        asked = {"subscription": subscription, "resource_group": group, "workspace": workspace}
        show(asked, as_json=as_json, title="Would ask")
        return
    client = _client()
    if job:
        show(look_at(client, job), as_json=as_json, title="Job")
        return
    jobs = newest_jobs(client)
    try:
        endpoint: dict[str, Any] | None = tell_endpoint(client)
    except AzureNotFound:
        endpoint = None  # nothing was deployed yet
    if as_json:
        show({"jobs": jobs, "endpoint": endpoint}, as_json=True)
        return
    show_rows(jobs, ("job", "title", "status"), "Jobs")
    show_rows(
        endpoint["colours"] if endpoint else [], ("colour", "percent", "state", "image"), "Service"
    )


@reported
def scores(
    to: Annotated[Path, typer.Option(help="Folder for the tables, made if needed.")],
    days: Annotated[
        float, typer.Option(min=0, help="Take exams that were scored so many days ago or less.")
    ] = 7.0,
    release: Annotated[
        str | None, typer.Option(help="Of this release; else of that in service.")
    ] = None,
    outcomes: Annotated[
        bool, typer.Option("--outcomes", help="Write those with known outcomes as a table, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write scores for Azure's monitor, as MLTable: no exam, patient, scanner or day is in them.

    Asks Azure nothing: docs/azure.md tells how they are uploaded.
    """
    from mammo.azure_scores import write_scores

    settings = settings_from_environment()
    written = write_scores(settings, to, days=days, release=release, outcomes=outcomes)
    show(written.to_dict(), as_json=as_json, title="Scores")


def _client() -> MLClient:
    from flows.azure_workspace import AzureSettings, open_workspace

    return open_workspace(AzureSettings())


def _pairs(given: list[str]) -> dict[str, str]:
    if wrong := [one for one in given if "=" not in one]:
        raise typer.BadParameter(f"--tag {wrong[0]}: write NAME=VALUE")
    return {name: value for name, _, value in (one.partition("=") for one in given)}


def _numbers(given: str) -> list[int]:
    try:
        return [int(one) for one in given.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--steps {given}: write whole percents, as 10,50,100") from error


def _changes() -> Any:
    """Return what says each status once."""
    seen: list[str] = []

    def tell(now: str) -> None:
        if seen[-1:] != [now]:
            seen.append(now)
            say(now)

    return tell
