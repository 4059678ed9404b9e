import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.evaluation import plots
from mammo.evaluation.plots import Event, _label_slots, calibration_plot, roc_plot, score_timeline

pytest.importorskip("matplotlib")


def exams(n=60, **columns):
    rng = np.random.default_rng(0)
    scores = rng.random(n)
    at = pd.date_range("2026-11-22 17:40", periods=n, freq="5s", tz="UTC")
    frame = {"at": at, "score": scores, "recalled": scores > 0.6, "scanner": ["A/1", "B/2"] * 30}
    return pd.DataFrame(frame | columns)


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("frame", "at"),
    [
        (exams(), pd.Timestamp("2026-11-22 17:42", tz="UTC")),
        (exams(at=exams()["at"].astype(str)), "2026-11-22T17:42:00+00:00"),
        (exams(at=range(60)), 30),
        (exams(label=[1, None, 0] * 20, threshold=0.6), pd.Timestamp("2026-11-22 17:42")),
        (exams(), None),
        (exams(scanner=["A $\\x_$", "B/2"] * 30), pd.Timestamp("2026-11-22 17:42", tz="UTC")),
    ],
    ids=["times", "text", "numbers", "outcomes and thresholds", "no event", "dollars"],
)
def test_timeline_is_drawn(tmp_path, frame, at):
    events = [] if at is None else [Event(at, "drift alarm", "alarm"), Event(at, "recalibrated")]
    path = score_timeline(frame, events, tmp_path / "new" / "scores.png", target_recall_rate=0.35)
    assert is_picture(path)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (exams().drop(columns="recalled"), r"missing columns \['recalled'\]"),
        (exams().iloc[:0], "found 0 exams"),
    ],
)
def test_timeline_says_what_is_missing(tmp_path, frame, text):
    with pytest.raises(ValueError, match=text):
        score_timeline(frame, [], tmp_path / "scores.png")


def test_event_labels_form_stairs_that_no_line_crosses():
    at = np.array([100.0, 110.0, 120.0, 400.0, 790.0])
    slots = _label_slots(
        at, ["alarm raised", "recalibrated", "retraining", "gate", "deployed"], 800
    )
    assert slots == [(2, False), (1, False), (0, False), (0, False), (0, True)]


@pytest.mark.parametrize("draw", [roc_plot, calibration_plot])
def test_curves_are_drawn(tmp_path, draw):
    rng = np.random.default_rng(0)
    labels = np.arange(50) < 17
    curves = {name: (labels, rng.random(50)) for name in ("champion", "challenger")}
    assert is_picture(draw(curves, tmp_path / "curve.png", title="Golden set"))


def test_importing_the_module_does_not_import_matplotlib():
    tree = ast.parse(Path(plots.__file__).read_text())
    imported = [ast.unparse(node) for node in tree.body if isinstance(node, ast.stmt)]
    assert not [line for line in imported if line.startswith(("import matpl", "from matpl"))]
