"""`mammo models`: which classifiers there are, how large, and with what weights."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows.cli_terminal import Json, reported, show, show_rows, tell

COLUMNS = ("name", "family", "params", "channels", "weights")
TIMM_COLUMNS = ("name", "weights", "licence", "any size")
ADVICE = (
    "Any other name of timm works as an architecture, too: mammo models --all 'convnext*'. "
    "Weights on the hub are downloaded once. docs/models.md has each trained on the same phantoms."
)


def add_models_command(app: typer.Typer) -> None:
    """Add `mammo models`."""
    app.command(epilog="Example: mammo models --all 'convnext*' --json")(models)


@reported
def models(
    every: Annotated[
        str | None,
        typer.Option("--all", metavar="PATTERN", help="Search timm's names, e.g. 'convnext*'."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the registered models: parameters, feature channels, weights and their licence."""
    from mammo.models.catalogue import registered_models, search_timm

    if every is not None:
        rows = search_timm(every)
        shown = [{**row, "any size": "yes" if row["any_size"] else "no"} for row in rows]
    else:
        rows = [one.to_dict() for one in registered_models()]
        shown = [_row(one) for one in rows]
    if as_json:
        show({"models": rows}, as_json=True)
        return
    columns = COLUMNS if every is None else TIMM_COLUMNS
    show_rows(shown, columns, "Models" if every is None else f"timm's models like {every}")
    tell(ADVICE)


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry for people: eighty columns hold it."""
    where = "here" if entry["at_hand"] else "hub" if entry["hub"] else "pip"
    weights = f"{where}, {entry['licence']}" if entry["pretrained"] else "none"
    return {**entry, "params": f"{entry['parameters'] / 1e6:.2f} M", "weights": weights}
