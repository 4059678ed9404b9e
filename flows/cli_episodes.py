"""`mammo episodes` and `mammo close`: what the monitor found, and a person's word on it."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli_terminal import Json, reported, settings_from_environment, show, show_rows

COLUMNS = ("key", "status", "cause", "action", "stratum", "opened_at", "report_url")


def add_episode_commands(app: typer.Typer) -> None:
    """Add the commands about drift episodes."""
    app.command("episodes", epilog="Example: mammo episodes --status open")(episodes)
    app.command("close", epilog="Example: mammo close r-1:site-1:act-data_fault:1 --reason mended")(
        close
    )


@reported
def episodes(
    status: Annotated[
        str | None,
        typer.Option(help="Only those that are open, acting, closed, settled or failed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the drift episodes, oldest first."""
    from mammo.prediction_log import PredictionLog

    log = PredictionLog(settings_from_environment().log_url).create()
    rows = [{name: one[name] for name in COLUMNS} for one in log.episodes(status)]
    if as_json:
        show({"episodes": rows}, as_json=True)
    else:
        show_rows(rows, COLUMNS, "Episodes")


@reported
def close(
    key: Annotated[str, typer.Argument(help="Key of the episode; `mammo episodes` lists them.")],
    reason: Annotated[str, typer.Option(help="What was mended, or why there is nothing to mend.")],
    as_json: Json = False,
) -> None:
    """Close an episode by hand: data that were mended, a question that was answered."""
    from mammo.prediction_log import PredictionLog
    from monitoring.closing import close_episode

    log = PredictionLog(settings_from_environment().log_url).create()
    show(close_episode(log, key, reason), as_json=as_json, title="Closed")
