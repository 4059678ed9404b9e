"""The files under ``dashboards/grafana`` that are made from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monitoring.dashboards.panel import Board

FOLDER = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"
RULES = "provisioning/alerting/rules.yaml"


def boards() -> tuple[Board, ...]:
    """Return every dashboard, in the order of a reader's questions."""
    from monitoring.dashboards import audit, data_quality, drift, releases, service

    return (service.BOARD, drift.BOARD, audit.BOARD, releases.BOARD, data_quality.BOARD)


def made_files() -> Mapping[str, str]:
    """Return the text of every generated file, by its path under `FOLDER`."""
    from monitoring.dashboards.render import render
    from monitoring.dashboards.rules import render_rules

    made = {f"dashboards/{board.uid}.json": render(board) for board in boards()}
    return {**made, RULES: render_rules()}


def write_all(folder: Path = FOLDER) -> list[Path]:
    """Write every generated file; return their paths."""
    paths = []
    for name, text in made_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return paths
