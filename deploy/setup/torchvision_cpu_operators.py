"""Start-up file: gives a CUDA-built torchvision its operators beside a CPU torch.

Put into site-packages by mend_torchvision.py. It costs one finder at start;
torch is imported only when torchvision is.
"""

import importlib.abc
import importlib.machinery
import sys


def _nms(boxes, scores, iou_threshold):
    """Greedy non-maximum suppression; boxes (N, 4) as x0 y0 x1 y1, returns kept indices.

    In NumPy: a step is a few short rows, and torch spends more on calling than on counting.
    """
    import numpy as np
    import torch

    order = scores.detach().argsort(descending=True, stable=True).numpy()
    x0, y0, x1, y1 = boxes.detach().float().numpy()[order].T
    areas = (x1 - x0) * (y1 - y0)
    alive = np.ones(len(order), dtype=bool)
    kept = []
    for best in range(len(order)):
        if not alive[best]:
            continue
        kept.append(best)
        wide = np.minimum(x1[best], x1[best:]) - np.maximum(x0[best], x0[best:])
        high = np.minimum(y1[best], y1[best:]) - np.maximum(y0[best], y0[best:])
        shared = wide.clip(min=0) * high.clip(min=0)
        alive[best:] &= shared <= iou_threshold * (areas[best] + areas[best:] - shared)
    return torch.from_numpy(order[kept].copy())


def _define_operators():
    import torch

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "qnms(Tensor dets, Tensor scores, float det_s, int det_z, float scores_s, int scores_z,"
        " float iou_threshold) -> Tensor"
    )
    library.impl("nms", _nms, "CPU")
    return library


class _Loader(importlib.abc.Loader):
    def __init__(self, loader, name):
        self.loader, self.name = loader, name

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        if self.name == "torchvision":
            module._cpu_operators = _define_operators()
        self.loader.exec_module(module)
        if self.name == "torchvision.ops.boxes":
            module._assert_has_ops = lambda: None


class _Finder(importlib.abc.MetaPathFinder):
    names = frozenset({"torchvision", "torchvision.ops.boxes"})

    def find_spec(self, name, path, target=None):
        if name not in self.names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = _Loader(spec.loader, name)
        return spec


sys.meta_path.insert(0, _Finder())
