"""`mammo gate`, `gates` and `approve`: the verdict, what it cost, and a person's word on it."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from flows.cli_card import log_cards, warn_of_lost_detector
from flows.cli_terminal import Json, reported, settings_from_environment, show, show_rows

COLUMNS = ("at", "challenger", "champion", "verdict", "account", "alpha", "left", "failed")


def add_gate_commands(app: typer.Typer) -> None:
    """Add the commands about the gate."""
    app.command(epilog="Example: mammo gate r-20261122-1a2b3c4d")(gate)
    app.command(epilog="Example: mammo gates")(gates)
    app.command(
        epilog="Example: mammo approve r-20261122-1a2b3c4d --reason 'reread its 40 new recalls'"
    )(approve)


@reported
def gate(
    release: Annotated[str, typer.Argument(help="Release that wants into service.")],
    focus: Annotated[
        str | None, typer.Option(help="Scanner whose newest exams count, e.g. Hologic/Selenia.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a release against the one in service. Status 1 when it is refused.

    Each challenger's first look at the golden set spends of the ledger (`mammo gates`).
    """
    from mammo.continual.judge import judge_release
    from mammo.release import find_release

    settings = settings_from_environment()
    decision = judge_release(settings, release, focus=focus)
    directory = find_release(settings.releases_dir, release)
    log_cards(settings, directory)
    warn_of_lost_detector(settings, directory)
    show(decision.to_dict(), as_json=as_json, title=f"Gate for {release}")
    if not decision.passed:
        raise typer.Exit(1)


@reported
def gates(as_json: Json = False) -> None:
    """List every look at the golden set, oldest first: the verdict, what it spent, what is left."""
    from mammo.prediction_log import PredictionLog

    found = PredictionLog(settings_from_environment().log_url).create().gates()
    rows = [_row(one) for one in found]
    if as_json:
        show({"gates": rows}, as_json=True)
    else:
        show_rows(rows, COLUMNS, "Looks at the golden set")


def _row(gate: dict[str, Any]) -> dict[str, Any]:
    from mammo.evaluation.ledger import left_after

    decision = gate["decision"] or {}
    verdict = {True: "passed", False: "refused", None: "not finished"}[gate["passed"]]
    left = left_after(decision.get("ledger") or {}, gate["passed"])
    return {
        "at": f"{gate['at']:%Y-%m-%d %H:%M}",
        "challenger": gate["challenger"],
        "champion": gate["champion"] or "",
        "verdict": verdict + (", a person is asked" if decision.get("approval") else ""),
        "account": gate["account"],
        "alpha": round(gate["alpha"], 5),
        "left": None if left is None else round(left, 4),
        "failed": ", ".join(decision.get("failed", [])),
    }


@reported
def approve(
    release: Annotated[str, typer.Argument(help="Release that the gate passed.")],
    reason: Annotated[str, typer.Option(help="Why, for the record: what you looked at.")],
    as_json: Json = False,
) -> None:
    """Let a release into service that the gate passed and could not have told enough of.

    Needs a token with the role approve in MAMMO_TOKEN, where tokens were made. The flow
    run that waits for it goes on; one that waited in vain has its rollout begun.
    """
    settings = settings_from_environment()
    os.environ.update(settings.child_environment())  # before Prefect reads its address
    from flows.approve import approve_release

    show(approve_release(settings, release, reason), as_json=as_json, title="Approved")
