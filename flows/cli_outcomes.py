"""`mammo data outcomes`: take in a table of outcomes, or write one."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_terminal import Json, reported, say, settings_from_environment, show

if TYPE_CHECKING:
    from mammo.exam import Outcome
    from mammo.prediction_log import PredictionLog
    from mammo.settings import Settings

EXAMPLE = (
    "Example: mammo data outcomes outcomes.csv --exams deidentified, "
    "or mammo data outcomes --to outcomes.csv --exams deidentified"
)


def add_outcome_commands(data: typer.Typer) -> None:
    """Add `mammo data outcomes`."""
    data.command("outcomes", epilog=EXAMPLE)(outcomes)


@reported
def outcomes(
    table: Annotated[
        Path | None,
        typer.Argument(help="CSV or Parquet: exam, laterality, cancer, known_at, source."),
    ] = None,
    exams: Annotated[
        Path | None,
        typer.Option(help="Folder of `mammo deidentify`, whose names of exams the table has."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write what is known here of the exams of --exams, as CSV.")
    ] = None,
    all_exams: Annotated[
        bool, typer.Option("--all", help="With --to and no --exams: of every exam known here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take outcomes in from a table, as POST /v1/outcomes does, or write those that are known.

    What is known already changes nothing. With --exams the exams are those of a folder that
    another installation has de-identified; outcomes of other exams are counted and left out.
    Without it they are this installation's own: those of an exam that is not scored or taken
    in yet are counted and kept, and a table without any exam that is known is refused.

    --to writes those of the exams that have a folder in --exams (or --all), never those of
    golden patients: a release that learnt from them could not be judged here.
    """
    if (table is None) == (to is None):
        raise typer.BadParameter("give a table to take in, or --to to write one")
    if to is not None and (exams is None) != all_exams:
        raise typer.BadParameter("--to goes with --exams FOLDER, or with --all for every exam")
    if to is None and all_exams:
        raise typer.BadParameter("--all goes with --to; a table says itself which exams it has")
    settings = settings_from_environment()
    told = _write(settings, to, exams) if table is None else _take_in(settings, table, exams)
    show(told, as_json=as_json, title="Outcomes")
    if told.get("exams_unknown"):
        what = "are not scored or taken in yet; kept" if exams is None else "are not in the folder"
        say(f"warning: exams of {told['exams_unknown']} outcomes {what}")


def _write(settings: Settings, to: Path | None, exams: Path | None) -> dict[str, Any]:
    from mammo.continual.outgoing_outcomes import outgoing_outcomes
    from mammo.data.outcome_table import write_outcomes

    assert to is not None
    found = outgoing_outcomes(settings, exams)
    return {
        "written": write_outcomes(to, found.outcomes),
        "not_in_folder": found.not_in_folder,
        "patient_unknown": found.patient_unknown,
        "golden": found.golden,
        "table": to,
    }


def _take_in(settings: Settings, table: Path, exams: Path | None) -> dict[str, Any]:
    from mammo.data.outcome_table import find_exams, match_exams, read_outcomes, without_repeats
    from mammo.prediction_log import PredictionLog

    read, log = read_outcomes(table), PredictionLog(settings.log_url).create()
    matched = (
        find_exams(read, _known_exams(settings, log, read), table.name)
        if exams is None
        else match_exams(read, exams, settings)
    )
    new = log.add_outcomes(without_repeats(matched.outcomes, log.outcomes()))
    _note(settings, matched.outcomes)
    return {
        "received": len(read),
        "new": new,
        "repeated": len(matched.outcomes) - new,
        "exams_unknown": matched.unknown,
    }


def _known_exams(settings: Settings, log: PredictionLog, outcomes: list[Outcome]) -> set[str]:
    """Return those exams of the outcomes that are scored or taken in here."""
    import pyarrow.compute as pc

    from mammo.data.index import read_index

    told = {one.exam_id for one in outcomes}
    known = log.known_exams(told)
    if settings.index_path.exists():
        among = pc.field("exam_id").isin(sorted(told))
        known |= set(read_index(settings.index_path, ["exam_id"], among)["exam_id"])
    return known


def _note(settings: Settings, outcomes: list[Outcome]) -> None:
    """Put a line for each exam into the audit log, as the service does."""
    from mammo.audit import AuditLog

    exams = list(dict.fromkeys(one.exam_id for one in outcomes))
    who = f"local:{getpass.getuser()}"
    AuditLog(settings.audit_path).append_each(exams, who, ("local",), "outcome", None, "ok")
