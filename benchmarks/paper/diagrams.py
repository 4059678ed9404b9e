"""The two diagrams of the documentation, drawn from lists: `docs/pictures/*.svg`.

Example: python -m benchmarks.paper.diagrams
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
WIDE, HIGH = 190, 62
FONT = "font-family='DejaVu Sans, Liberation Sans, Arial, sans-serif'"


@dataclass(frozen=True)
class Box:
    """A box of the drawing: where (column, row), its name, and a line below it."""

    at: tuple[float, float]
    name: str
    line: str = ""
    ours: bool = True


@dataclass(frozen=True)
class Drawing:
    """Boxes by key and arrows between them, each with what goes along it."""

    title: str
    boxes: dict[str, Box]
    arrows: Sequence[tuple[str, str, str]] = field(default_factory=tuple)


ARCHITECTURE = Drawing(
    "Who calls whom",
    {
        "pacs": Box((0, 0), "PACS, unit, router", "C-STORE, STOW-RS", ours=False),
        "gateway": Box((1, 0), "gateway", "bentos/gateway"),
        "service": Box((2, 0), "service", "bentos/screening"),
        "viewer": Box((3, 0), "viewer", "in the browser"),
        "log": Box((2, 1), "prediction log", "SQLite or PostgreSQL"),
        "monitor": Box((3, 1), "monitor", "monitoring/"),
        "archive": Box((0, 1), "index and shards", "mammo/data, DVC"),
        "train": Box((0, 2), "train, gate", "mammo/continual"),
        "release": Box((1, 1), "release", "sealed folder"),
        "flows": Box((1, 2), "flows", "Prefect"),
        "mlflow": Box((2, 2), "MLflow", "runs, registry", ours=False),
        "alerts": Box((3, 2), "alerts", "Prometheus, Grafana, mail", ours=False),
    },
    [
        ("pacs", "gateway", "images"),
        ("gateway", "service", "exam"),
        ("service", "viewer", "heat"),
        ("service", "log", "predictions"),
        ("log", "monitor", "new rows"),
        ("monitor", "alerts", "metrics"),
        ("archive", "train", "patients"),
        ("train", "flows", "candidates"),
        ("flows", "release", "packaged"),
        ("release", "service", ""),
        ("flows", "mlflow", "logged"),
    ],
)
LIFE = Drawing(
    "The life of a model",
    {
        "trained": Box((0, 0), "trained", "calibrated, sealed"),
        "gated": Box((1, 0), "judged", "gate, alpha ledger"),
        "shadow": Box((2, 0), "shadow", "answers none"),
        "canary": Box((3, 0), "canary", "answers a share"),
        "champion": Box((3, 1), "champion", "answers"),
        "watched": Box((2, 1), "watched", "every prediction"),
        "episode": Box((1, 1), "episode", "cause, evidence"),
        "mended": Box((0, 1), "mended", "the least that does"),
        "refused": Box((1, -0.9), "refused", "which clause, why"),
        "back": Box((3, -0.9), "taken back", "harm shown"),
    },
    [
        ("trained", "gated", ""),
        ("gated", "shadow", "passed"),
        ("gated", "refused", ""),
        ("shadow", "canary", "no harm"),
        ("canary", "champion", "cleared"),
        ("canary", "back", ""),
        ("champion", "watched", "log"),
        ("watched", "episode", "confirmed"),
        ("episode", "mended", "action"),
        ("mended", "trained", "candidate"),
    ],
)


def draw(drawing: Drawing) -> str:
    """Return the drawing as SVG, with a title for those who cannot see it."""
    low = min(one.at[1] for one in drawing.boxes.values())
    columns = max(one.at[0] for one in drawing.boxes.values()) + 1
    rows = max(one.at[1] for one in drawing.boxes.values()) - low + 1
    wide, high = columns * (WIDE + 90) - 50, rows * (HIGH + 60) - 20
    parts = [_arrow(drawing.boxes[a], drawing.boxes[b], text, low) for a, b, text in drawing.arrows]
    parts += [_box(one, low) for one in drawing.boxes.values()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" role="img">'
        f"<title>{html.escape(drawing.title)}</title>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _corner(box: Box, low: float) -> tuple[float, float]:
    return 20 + box.at[0] * (WIDE + 90), 20 + (box.at[1] - low) * (HIGH + 60)


def _box(box: Box, low: float) -> str:
    x, y = _corner(box, low)
    fill, edge = ("#e8f1f7", "#123c57") if box.ours else ("#f6f8fa", "#8c959f")
    middle = x + WIDE / 2
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDE}" height="{HIGH}" rx="7" fill="{fill}" '
        f'stroke="{edge}"/><text x="{middle:.0f}" y="{y + 27:.0f}" text-anchor="middle" {FONT} '
        f'font-size="14" font-weight="600" fill="#1b1f24">{html.escape(box.name)}</text>'
        f'<text x="{middle:.0f}" y="{y + 47:.0f}" text-anchor="middle" {FONT} font-size="12" '
        f'fill="#57606a">{html.escape(box.line)}</text>'
    )


def _arrow(start: Box, end: Box, text: str, low: float) -> str:
    (x0, y0), (x1, y1) = _corner(start, low), _corner(end, low)
    if start.at[1] == end.at[1]:
        right = x1 > x0
        a = (x0 + WIDE if right else x0, y0 + HIGH / 2)
        b = (x1 if right else x1 + WIDE, y1 + HIGH / 2)
    else:
        down = y1 > y0
        a = (x0 + WIDE / 2, y0 + HIGH if down else y0)
        b = (x1 + WIDE / 2, y1 if down else y1 + HIGH)
    side = 8 if start.at[1] != end.at[1] else 0
    x, y = (a[0] + b[0]) / 2 + side, (a[1] + b[1]) / 2 - (0 if side else 7)
    anchor = "start" if side else "middle"
    return (
        f'<line x1="{a[0]:.0f}" y1="{a[1]:.0f}" x2="{b[0]:.0f}" y2="{b[1]:.0f}" stroke="#57606a" '
        f'stroke-width="1.5" marker-end="url(#tip)"/><text x="{x:.0f}" y="{y:.0f}" '
        f'text-anchor="{anchor}" {FONT} font-size="12" fill="#57606a">{html.escape(text)}</text>'
    )


def main() -> None:
    """Write both."""
    for name, drawing in (("architecture", ARCHITECTURE), ("life_of_a_model", LIFE)):
        (PICTURES / f"{name}.svg").write_text(draw(drawing))


if __name__ == "__main__":
    main()
