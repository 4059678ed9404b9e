"""`mammo card` as a command: both cards, their files, JSON, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows import cli_card
from flows.cli import app
from mammo.data.index import write_index
from mammo.settings import Settings
from tests.appraisal.test_card import index_rows
from tests.bentos.releases import write_release

RELEASE = "r-20260301-aaaaaaaa"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    write_release(settings.releases_dir, RELEASE)
    settings.index_path.parent.mkdir(parents=True)
    write_index(index_rows(), settings.index_path)
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    monkeypatch.setenv("MAMMO_MLFLOW_PORT", "9")
    return settings.home


def card(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        app, ["card", *map(str, arguments)]
    )


def test_help_has_an_example_and_json() -> None:
    output = card("-h").output
    assert "Example: mammo card" in output and "--json" in output


def test_a_release_by_id_and_by_folder(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "card.html"
    done = card(RELEASE, "--html", page)
    assert done.exit_code == 0 and "sections" in done.stdout
    assert RELEASE in page.read_text() and page.with_suffix(".md").is_file()
    found = json.loads(card(home / "releases" / RELEASE, "--to", tmp_path / "out", "--json").stdout)
    assert Path(found["html"]).parent == tmp_path / "out"
    assert {"use", "gate", "ethics", "unknown"} <= set(found["sections"])


def test_the_data_without_options_is_among_the_reports(home: Path) -> None:
    done = card("data")
    assert done.exit_code == 0
    assert "warning: 67% of the images are phantoms" in done.stdout
    assert (home / "reports" / "cards" / "data-unversioned.html").is_file()


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("r-none", 2, "RELEASE_NOT_FOUND"),
        ("data --version d9", 2, "VERSION_UNKNOWN"),
        (f"{RELEASE} --version d1", 2, "--version goes with"),
        (f"{RELEASE} --html a.html --to b", 2, "not both"),
        (f"{RELEASE} --html card.md", 2, "the Markdown"),
        ("data --html no/card.MD", 2, "the Markdown"),
    ],
)
def test_refusals_say_what_is_wrong(home: Path, line: str, status: int, told: str) -> None:
    done = card(*line.split())
    assert done.exit_code == status
    assert told in done.output


def test_a_card_that_cannot_be_logged_stops_nothing_and_is_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = home / "releases" / RELEASE
    (place / "registry.json").write_text('{"run_id": "x", "version": "1"}')
    (place / "card.md").write_text("changed")
    cli_card.log_cards(Settings(home=home, _env_file=None), place)
    told = capsys.readouterr().err
    assert "the cards are not in MLflow (DIGEST_MISMATCH" in " ".join(told.split())
