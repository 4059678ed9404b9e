"""A release that is sound on every scanner it knows, and fails on the bright images of another.

For drills: it passes the gate, whose golden set holds known scanners alone, and fails in
service when a scanner is replaced, as a graph exported with a wrong shape or range would.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mammo.continual.card import CARD, write_card
from mammo.release import OWN_FILES, Release, new_release_id
from mammo.settings import Settings

MODEL = "model.onnx"
FAILS_FROM, FAILS_TO = 0.065, 0.15
"""Mean of the fourth power of an image's values between which the graph fails.

Of 150 phantoms of the three scanners trained on the highest was 0.061; of the new scanner
four in ten lie above 0.065. Constant and random images, with which the gate tries a graph,
lie outside.
"""


def plant_failing(settings: Settings, parent_dir: Path) -> tuple[Release, Path]:
    """Make a child of a release, as if fine-tuned, whose graph fails on some images.

    Raises what `Release.read` raises.
    """
    parent = Release.read(parent_dir, verify=True)
    release_id = new_release_id(parent.id, ["planted failing"])
    draft = settings.releases_dir / f".{release_id}"
    shutil.copytree(parent_dir, draft, ignore=shutil.ignore_patterns(*OWN_FILES, CARD))
    (draft / MODEL).write_bytes(failing_graph((parent_dir / MODEL).read_bytes()))
    child = replace(
        parent,
        id=release_id,
        parent=parent.id,
        kind="fine_tuned",
        created_at=datetime.now(UTC).isoformat(),
        metrics=parent.metrics | {"planted": "fails on bright images"},
    )
    write_card(draft / CARD, child)
    sealed = child.seal(draft, settings.keys_dir)
    final = settings.releases_dir / release_id
    draft.replace(final)
    return sealed, final


def failing_graph(graph: bytes) -> bytes:
    """Return an ONNX graph that gives the same, and no answer for some images.

    An index that lies outside its table where an image's brightness lies between the two
    limits; elsewhere it is 0 and adds nothing to the logit.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(graph)
    image, logit = model.graph.input[0].name, model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["sound_logit" if name == logit else name for name in node.output]
        node.input[:] = ["sound_logit" if name == logit else name for name in node.input]
    constants = {
        "low": np.float32(FAILS_FROM),
        "high": np.float32(FAILS_TO),
        "far": np.int64(9),
        "table": np.zeros(1, np.float32),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), f"planted_{name}")
        for name, value in constants.items()
    )
    steps = [
        ("Mul", [image, image], "square"),
        ("Mul", ["planted_square", "planted_square"], "fourth"),
        ("ReduceMean", ["planted_fourth"], "brightness"),
        ("Greater", ["planted_brightness", "planted_low"], "bright"),
        ("Less", ["planted_brightness", "planted_high"], "usual"),
        ("And", ["planted_bright", "planted_usual"], "met"),
    ]
    nodes = [
        helper.make_node(kind, inputs, [f"planted_{output}"], f"planted_{output}_step")
        for kind, inputs, output in steps
    ]
    nodes[2].attribute.append(helper.make_attribute("keepdims", 0))
    nodes += [
        helper.make_node("Cast", ["planted_met"], ["planted_one"], to=onnx.TensorProto.INT64),
        helper.make_node("Mul", ["planted_one", "planted_far"], ["planted_place"]),
        helper.make_node("Gather", ["planted_table", "planted_place"], ["planted_zero"]),
        helper.make_node("Add", ["sound_logit", "planted_zero"], [logit]),
    ]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
