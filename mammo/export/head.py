"""Write the multi-view head as an ONNX graph."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from mammo.export.onnx import OPSET
from mammo.models.exam_head import HEAD_AXES, HEAD_INPUTS, ExamHead


def export_head(head: ExamHead, path: Path) -> None:
    """Export a head in evaluation mode.

    Inputs ``own`` (B, V, F), ``own_mask`` (B, V), ``other`` (B, U, F) and
    ``other_mask`` (B, U), float32, with B, V and U free; output ``logit`` (B,). A
    head that does not look at the other breast takes it all the same.
    """
    head.eval()
    features = head.average.in_features
    views, mask = torch.zeros(2, 2, features), torch.ones(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `mammo.export.onnx`
        torch.onnx.export(
            _Graph(head),
            (views, mask, views, mask),
            str(path),
            input_names=list(HEAD_INPUTS),
            output_names=["logit"],
            dynamic_axes=HEAD_AXES,
            opset_version=OPSET,
            dynamo=False,
        )


class _Graph(torch.nn.Module):
    """The head with every input in the graph, also those that its mode does not use."""

    def __init__(self, head: ExamHead) -> None:
        super().__init__()
        self.head = head

    def forward(
        self,
        own: torch.Tensor,
        own_mask: torch.Tensor,
        other: torch.Tensor,
        other_mask: torch.Tensor,
    ) -> torch.Tensor:
        unused = 0.0 * other.sum(dim=(1, 2)) + 0.0 * other_mask.sum(dim=1)
        return self.head(own, own_mask, other, other_mask) + unused
