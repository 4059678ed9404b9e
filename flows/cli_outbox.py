"""`mammo outbox`: reports on their way to the PACS, and what to do with those that are stuck."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import Json, reported, say, settings_from_environment, show, show_rows

if TYPE_CHECKING:
    from bentos.gateway.outbox import Outbox
    from bentos.gateway.outbox_tables import Delivery


class StateName(StrEnum):
    """How far a delivery is; `bentos.gateway.outbox_tables.STATES`."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    STUCK = "stuck"
    REPLACED = "replaced"
    DROPPED = "dropped"


Numbers = Annotated[
    list[int] | None, typer.Argument(help="Numbers of deliveries, from `mammo outbox list`.")
]
Stuck = Annotated[bool, typer.Option("--stuck", help="All that are stuck.")]
To = Annotated[str | None, typer.Option("--to", help="With --stuck: of this destination alone.")]


DELIVERY = (
    "number", "study", "version", "kind", "destination", "state", "attempts", "code", "put_at",
)  # fmt: skip
DESTINATION = ("name", "failures", "code", "text", "next_try_at", "reached_at")


def add_outbox_commands(app: typer.Typer) -> None:
    """Add the `mammo outbox` sub-app."""
    outbox = typer.Typer(
        help="Reports on their way to the PACS: what waits, what is stuck and why.",
        no_args_is_help=True,
    )
    outbox.command("list", epilog="Example: mammo outbox list --state stuck")(list_deliveries)
    outbox.command("retry", epilog="Example: mammo outbox retry --stuck --to pacs")(retry)
    outbox.command("drop", epilog="Example: mammo outbox drop 17")(drop)
    outbox.command("check", epilog="Example: mammo outbox check")(check)
    app.add_typer(outbox, name="outbox")


@reported
def list_deliveries(
    state: Annotated[StateName | None, typer.Option(help="Only these.")] = None,
    study: Annotated[str | None, typer.Option(help="Only of this study, by its key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show deliveries, newest first, and how each destination does."""
    outbox = _outbox()
    found = outbox.deliveries(state=state.value if state else None, study=study, limit=limit)
    rows = [one.to_json() for one in found]
    destinations = [one.to_json() for one in outbox.destinations()]
    if as_json:
        told = {"deliveries": rows, "destinations": destinations, "counts": outbox.counts()}
        show(told, as_json=True)
        return
    show_rows(rows, DELIVERY, "Deliveries")
    if destinations:
        show_rows(destinations, DESTINATION, "Destinations")
    stuck = sum(counts.get("stuck", 0) for counts in outbox.counts().values())
    if stuck:
        verb = "is" if stuck == 1 else "are"
        say(f"{stuck} {verb} stuck: mend the cause, then `mammo outbox retry --stuck`.")


@reported
def retry(
    numbers: Numbers = None, stuck: Stuck = False, to: To = None, as_json: Json = False
) -> None:
    """Send deliveries again that are stuck, or that wait, as soon as can be."""
    outbox = _outbox()
    done = [outbox.retry(number) for number in _chosen(outbox, numbers, to, stuck=stuck)]
    _told(done, "will be sent by the gateway within seconds", as_json=as_json)


@reported
def drop(
    numbers: Numbers = None, stuck: Stuck = False, to: To = None, as_json: Json = False
) -> None:
    """Give deliveries up; the destination will not get them. The service still has the reports."""
    outbox = _outbox()
    done = [outbox.drop(number) for number in _chosen(outbox, numbers, to, stuck=stuck)]
    _told(done, "will not be sent", as_json=as_json)


@reported
def check(as_json: Json = False) -> None:
    """Ask every destination whether it is there: C-ECHO, or a search by QIDO-RS."""
    from bentos.gateway.peers import PEERS_FILE, Peers
    from bentos.gateway.reaching import reach

    settings = settings_from_environment()
    peers = Peers.read(settings.home / PEERS_FILE).destinations()
    rows = [reach(one, settings.dicom_ae_title) for one in peers]
    if as_json:
        show({"destinations": rows}, as_json=True)
    else:
        show_rows(rows, ("name", "via", "reached", "code", "text"), "Destinations")
    if not all(one["reached"] for one in rows):
        raise typer.Exit(1)


def _outbox() -> Outbox:
    from bentos.gateway.outbox import Outbox
    from bentos.gateway.peers import Peers

    return Outbox(settings_from_environment(), Peers)


def _chosen(outbox: Outbox, numbers: list[int] | None, to: str | None, *, stuck: bool) -> list[int]:
    if bool(numbers) == stuck or (to and not stuck):
        raise typer.BadParameter("give numbers of deliveries, or --stuck (with --to, of one peer)")
    if numbers:
        return numbers
    found = outbox.deliveries(state="stuck", limit=-1)
    return [one.number for one in found if to in (None, one.destination)]


def _told(done: list[Delivery], what: str, *, as_json: bool) -> None:
    if as_json:
        show({"deliveries": [one.to_json() for one in done]}, as_json=True)
    else:
        say(f"{len(done)} {'delivery' if len(done) == 1 else 'deliveries'} {what}.")
