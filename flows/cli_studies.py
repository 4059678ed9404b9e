"""`mammo studies`: what came in by DICOM, how far it is, and what somebody should look at."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from flows.cli_terminal import Json, reported, say, settings_from_environment, show, show_rows


class StudyState(StrEnum):
    """How far a study is; `bentos.gateway.book.STATES`."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    SCORING = "scoring"
    SCORED = "scored"
    PARTLY = "partly"
    FAILED = "failed"


STUDY = ("study", "state", "code", "images", "incidents", "score", "received_at")
PARTS = {
    "images": ("image", "code", "sop_class", "source", "received_at"),
    "incidents": ("code", "image", "kept", "source", "at"),
    "scorings": ("version", "images", "state", "code", "scored_at"),
}


def add_studies_command(app: typer.Typer) -> None:
    """Add `mammo studies`."""
    app.command("studies", epilog="Example: mammo studies --state failed")(studies)


@reported
def studies(
    key: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Tell everything of this study.")
    ] = None,
    state: Annotated[StudyState | None, typer.Option(help="Only these.")] = None,
    incident: Annotated[
        bool, typer.Option("--incident", help="Only those that somebody should look at.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what came in by DICOM; the gateway need not run."""
    from bentos.gateway.book import Book

    book = Book(settings_from_environment().gateway_book)
    if key is not None:
        _show_study(book.study(key).to_json(), as_json)
        return
    page = book.studies(limit, state=state and state.value, incident=incident)
    lines = [one.to_json() for one in page.studies]
    loose = [asdict(one) for one in book.loose_incidents()]
    if as_json:
        told = {"studies": lines, "counts": book.counts(), "loose_incidents": loose}
        show(told, as_json=True)
        return
    show_rows(_short(lines), STUDY, "Studies")
    if incident and loose:
        show_rows(_short(loose), ("code", "source", "at", "text"), "Of no known study")
    say(", ".join(f"{count} {name}" for name, count in book.counts().items() if count) or "none")
    if page.next is not None:
        say("There are more: --limit shows up to 500, GET /v1/studies has pages.")


def _show_study(study: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show(study, as_json=True)
        return
    show_rows(_short([study]), STUDY, "Study")
    if study["text"]:
        say(study["text"])
    for name, columns in PARTS.items():
        rows = study[f"{name.removesuffix('s')}_list"]
        if rows:
            show_rows(_short(rows), columns, name.capitalize())


def _short(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with times to the second, in UTC, so that a line fits a terminal."""
    return [
        {k: v[:19].replace("T", " ") if k.endswith("at") and v else v for k, v in row.items()}
        for row in rows
    ]
