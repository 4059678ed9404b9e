"""Start-up file: gives a CUDA-built torchvision its operators beside a CPU torch.

Put into site-packages by mend_torchvision.py. It costs one finder at start;
torch is imported only when torchvision is.
"""

import importlib.abc
import importlib.machinery
import sys


def _nms(boxes, scores, iou_threshold):
    """Greedy non-maximum suppression; boxes (N, 4) as x0 y0 x1 y1, returns kept indices."""
    import torch

    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        union = areas[best] + areas[order] - overlap
        order = order[overlap <= iou_threshold * union]
    return torch.stack(kept) if kept else order


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
