"""`mammo shortcuts`: does a release score from markers, borders, the scanner or the padding?"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import Json, reported, say, settings_from_environment, show, show_rows

if TYPE_CHECKING:
    from mammo.appraisal.shortcuts import ShortcutStudy
    from mammo.release import Release


def add_shortcuts_command(app: typer.Typer) -> None:
    """Add `mammo shortcuts`."""
    app.command(epilog="Example: mammo shortcuts r-20261122-1a2b3c4d --to shortcuts.html")(
        shortcuts
    )


@reported
def shortcuts(
    release: Annotated[
        str | None, typer.Argument(help="Release id or folder; the one in service if none.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The page to write.")] = None,
    max_images: Annotated[
        int, typer.Option(min=40, help="Images at most; whole patients are drawn.")
    ] = 800,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 0,
    as_json: Json = False,
) -> None:
    """Look for shortcuts in the index and in a release, on patients it was not trained on.

    Status 1 when the release scores from something other than the breast.
    """
    from mammo.appraisal.shortcut_release import check_release_shortcuts

    settings = settings_from_environment()
    found, study = check_release_shortcuts(
        settings, _directory(release), max_images=max_images, seed=seed,
        progress=None if as_json else lambda name: say(f"looking at: {name}"),
    )  # fmt: skip
    if to is not None:
        _write(study, found, to)
    if as_json:
        show({"release": found.id, "page": to} | study.to_dict(), as_json=True)
    else:
        _show(study, found, to)
    if not study.passed:
        raise typer.Exit(1)


def _directory(name: str | None) -> Path:
    from flows.cli_model import directory_in_service
    from mammo.release import find_release

    settings = settings_from_environment()
    if name is None:
        return directory_in_service(settings)
    return Path(name) if Path(name).is_dir() else find_release(settings.releases_dir, name)


def _write(study: ShortcutStudy, release: Release, to: Path) -> None:
    import mammo
    from mammo.appraisal.shortcut_page import write_page
    from mammo.data.durable import write_text
    from mammo.explore.page import Origin

    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    origin = Origin(release.data_version, f"mammo shortcuts {release.id}", now, mammo.__version__)
    page = write_page(study, release.id, release.trained_on, origin)
    write_text(to, page, drafts=to.absolute().parent)


def _show(study: ShortcutStudy, release: Release, to: Path | None) -> None:
    from mammo.appraisal.shortcut_page import alone_row, change_row

    alone = []
    for one in study.alone:
        name, _, _, auc, span, verdict = alone_row(one)
        alone.append({"seen alone": name, "AUC": f"{auc} ({span})", "verdict": verdict})
    show_rows(alone, tuple(alone[0]), f"{release.target} from one thing alone")
    changes = []
    for change in study.changes:
        name, _, moved, *_, difference, span, verdict = change_row(change)
        told = {
            "moved": f"{moved} SD",
            "AUC changes by": f"{difference} ({span})",
            "verdict": verdict,
        }
        changes.append({"changed": name} | told)
    before = study.changes[0].auc_before
    show_rows(changes, tuple(changes[0]), f"{release.id} after a change (AUC {before:.3f} before)")
    if to is not None:
        say(f"page: {to}")
