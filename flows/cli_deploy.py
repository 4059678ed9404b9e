"""`mammo deploy`, `trial` and `sign`: which release answers, which is tried, and who made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show

if TYPE_CHECKING:
    from bentos.screening.deployment import DeployReport
    from mammo.settings import Settings


def add_deploy_commands(app: typer.Typer) -> None:
    """Add `mammo deploy`, `mammo trial` and `mammo sign`."""
    app.command(
        epilog="Example: mammo deploy r-20261122-1a2b3c4d, the same with --rollout, --shadow or "
        "--canary 10, mammo deploy --stop-challenger, mammo deploy --rollback"
    )(deploy)
    app.command(epilog="Example: mammo trial --json")(trial)
    app.command(epilog="Example: mammo sign r-20261122-1a2b3c4d")(sign)


@reported
def deploy(
    release: Annotated[str | None, typer.Argument(help="Release or Bento tag.")] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Let it score the same exams and answer none.")
    ] = False,
    canary: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="PERCENT", help="Let it answer this share of exams."),
    ] = None,
    rollout: Annotated[
        bool,
        typer.Option("--rollout", help="Over shadow and canary, where the plan asks for it."),
    ] = False,
    stop_challenger: Annotated[
        bool, typer.Option("--stop-challenger", help="End the shadow or canary.")
    ] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the one before.")] = False,
    as_json: Json = False,
) -> None:
    """Put a release into service after its smoke test, or try it beside the one in service.

    The running service takes it over without a failed request; the command ends
    when every worker has. A challenger that is deployed without an option is
    promoted. With --rollout the guard leads it on, stage by stage, and takes it back
    where it does harm (docs/rollout.md).
    """
    if sum((release is not None, stop_challenger, rollback)) != 1:
        raise typer.BadParameter("give a release, --stop-challenger or --rollback")
    ways = [shadow, canary is not None, rollout]
    if any(ways) and release is None:
        raise typer.BadParameter("--shadow, --canary and --rollout need a release")
    if sum(ways) > 1:
        raise typer.BadParameter("give one of --shadow, --canary and --rollout")
    settings = settings_from_environment()
    if release is None:
        report = _go_back(settings, stop=stop_challenger)
    elif rollout:
        report = _begin_rollout(settings, release)
    else:
        report = _deploy(settings, release, shadow=shadow, canary=canary)
    title = {"champion": "In service", "stopped": "Stopped"}.get(
        report.stage, "Beside the champion"
    )
    show(report.to_dict(), as_json=as_json, title=title)


def _deploy(settings: Settings, release: str, *, shadow: bool, canary: int | None) -> DeployReport:
    from bentos.screening.deployment import deploy_release

    if canary is not None:
        return deploy_release(release, settings, stage="canary", percent=canary)
    return deploy_release(release, settings, stage="shadow" if shadow else "champion")


def _begin_rollout(settings: Settings, release: str) -> DeployReport:
    from bentos.screening.leading import begin_rollout

    return begin_rollout(release, settings)


def _go_back(settings: Settings, *, stop: bool) -> DeployReport:
    from bentos.screening import deployment

    return deployment.stop_challenger(settings) if stop else deployment.rollback(settings)


@reported
def trial(as_json: Json = False) -> None:
    """Tell what is on trial: its stage, its exams, and what the guard's checks say of them.

    Moves nothing: the guard does that (`mammo up` runs it).
    """
    from bentos.screening.guard_moves import asked_of, examine

    settings = settings_from_environment()
    trials = examine(settings)
    asks = asked_of(settings) if trials else None
    if as_json:
        show({"trials": [one.to_dict() for one in trials], "asks": asks}, as_json=True, title="")
    for one in [] if as_json else trials:
        share = f" {one.percent}%" if one.percent else ""
        told = {"stage": f"{one.stage}{share}", "since": one.since, "exams": one.exams}
        told |= {check.name: check.text.partition(": ")[2] for check in one.checks}
        show(told, as_json=False, title=one.release)
    if not as_json and (asks or not trials):
        told = {"a person is asked": asks} if asks else {"trial": "nothing is on trial"}
        show(told, as_json=False, title="Guard")


@reported
def sign(
    release: Annotated[str, typer.Argument(help="Release that was made here.")],
    as_json: Json = False,
) -> None:
    """Sign a release of before releases were signed, and its Bentos; check it is yours first.

    Its digests are checked, nothing more: the signature will say that it is from here.
    A service that refused it tries it again by itself.
    """
    from bentos.screening.packaging import sign_packaged

    signed = sign_packaged(release, settings_from_environment())
    told = {"release": signed.release, "key": signed.key, "signed_at": signed.signed_at}
    show(told, as_json=as_json, title="Signed")
