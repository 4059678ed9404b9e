"""`mammo explain`: where a score comes from, and whether that can be believed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_files import list_files, read_files, say_refused
from flows.cli_model import directory_in_service
from flows.cli_terminal import (
    Json,
    may_name_files,
    reported,
    say,
    settings_from_environment,
    show,
    show_rows,
    stage_bars,
    tell,
)

if TYPE_CHECKING:
    from mammo.appraisal.explain import ExplainedView
    from mammo.evaluation.localisation import Localisation
    from mammo.settings import Settings

GROUP_COLUMNS = (
    "finding", "images", "patients", "hit", "hit by chance", "share", "share by chance", "auc"
)  # fmt: skip
MOST_FILES = 16
"""Rows of one picture: four exams of four views."""


def add_explain_command(app: typer.Typer) -> None:
    """Add `mammo explain`."""
    app.command(epilog="Example: mammo explain exam/*.dcm --to heat.png, or mammo explain --check")(
        explain
    )


@reported
def explain(
    files: Annotated[
        list[Path] | None, typer.Argument(help="DICOM files, or folders of them.")
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Release, or its folder; the one in service if none.")
    ] = None,
    to: Annotated[Path, typer.Option(dir_okay=False, help="The PNG to write.")] = Path(
        "explain.png"
    ),
    check: Annotated[
        bool,
        typer.Option("--check", help="Measure the maps on the index's findings instead."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Draw what each view's logit is made of, in pixels of the original; or check the maps.

    The check tells where the maps point beside the boxes of patients not trained
    on, and whether they go with the weights. Status 1 when they outlive them.
    """
    if check == bool(files):
        raise typer.BadParameter("give files, or --check")
    settings = settings_from_environment()
    directory = _directory(settings, release)
    if check:
        _check(settings, directory, as_json=as_json)
        return
    _explain(settings, directory, files or [], to, as_json=as_json)


def _directory(settings: Settings, release: str | None) -> Path:
    from mammo.release import find_release

    if release is None:
        return directory_in_service(settings)
    folder = Path(release).resolve()
    return folder if folder.is_dir() else find_release(settings.releases_dir, release)


def _explain(
    settings: Settings, directory: Path, files: list[Path], to: Path, *, as_json: bool
) -> None:
    from mammo.appraisal.explain import Explainer, explain_files, heat_row
    from mammo.data.durable import write_file
    from mammo.heat_picture import draw_heat

    if not to.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {to.absolute().parent.name} for {to.name}")
    if not 0 < (count := len(list_files(files, as_json=as_json))) <= MOST_FILES:
        raise typer.BadParameter(f"{count} files; a picture has 1 to {MOST_FILES}")
    named = read_files(files, as_json=as_json)
    explainer = Explainer.load(directory)
    views, refused = explain_files(settings, explainer, named)
    picture = draw_heat([heat_row(one) for one in views])
    write_file(to, lambda handle: handle.write(picture), drafts=to.absolute().parent)
    known = may_name_files(as_json=as_json)
    told = [one.to_dict() | ({"file": one.file} if known else {}) for one in views]
    if as_json:
        result = {"release": explainer.release.id, "picture": to, "views": told}
        show(result | {"refused": [asdict(one) for one in refused]}, as_json=True)
        return
    rows = [row for one in views for row in _place_rows(one)]
    columns = ("view", "logit", "place", "x", "y", "within", "heat", "share")
    show_rows(rows, columns, f"Where {explainer.release.id} sees {explainer.release.target}")
    say_refused(refused)
    say(f"drawn: {to}")


def _place_rows(view: ExplainedView) -> list[dict[str, Any]]:
    rows = [
        {
            "view": str(view.mammogram.view), "logit": f"{view.logit:.2f}", "place": number,
            "x": f"{place.x:.0f}", "y": f"{place.y:.0f}", "within": f"{place.radius:.0f}",
            "heat": f"{place.heat:+.2f}", "share": f"{place.share:.0%}",
        }
        for number, place in enumerate(view.places, 1)
    ]  # fmt: skip
    return rows or [{"view": str(view.mammogram.view), "logit": f"{view.logit:.2f}"}]


def _group_row(kind: str, where: Localisation) -> dict[str, Any]:
    scores = {name: where.scores[name] for name in ("hit", "share", "auc")}
    told = {
        name: f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})" for name, one in scores.items()
    }
    chance = {
        f"{name} by chance": f"{where.scores[f'{name}_by_chance'].value:.3f}"
        for name in ("hit", "share")
    }
    return {"finding": kind, "images": where.images, "patients": where.patients, **told, **chance}


def _check(settings: Settings, directory: Path, *, as_json: bool) -> None:
    from mammo.appraisal.explain_check import check_release

    with stage_bars(quiet=as_json) as bars:
        found = check_release(settings, directory, progress=bars)
    if as_json:
        show(found.to_dict(), as_json=True)
    else:
        where = found.localisation
        groups = {"all": where, **found.by_kind}
        show_rows([_group_row(*one) for one in groups.items()], GROUP_COLUMNS, "By finding")
        tell(where.sentence)
        tell(found.sanity.sentence)
        tell(f"{found.release}: {found.trained_on}")
    if not found.sanity.passed:
        raise typer.Exit(1)
