"""The multi-view head: what the views of a breast, and of both breasts, say together.

It starts as plain averaging of the view logits and learns what to add, in the
way that leading solutions of breast screening join views (Shen et al. 2021,
Wu et al. 2020, arXiv:1903.08297), and with the comparison that radiologists
make first: this breast beside the other one.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from torch import Tensor, nn

from mammo.errors import SourceInvalid
from mammo.models.breast_net import ViewNet

Mode = Literal["breast", "exam"]
MODES: tuple[Mode, ...] = ("breast", "exam")
HEAD_INPUTS = ("own", "own_mask", "other", "other_mask")
HEAD_AXES = {
    "own": {0: "breasts", 1: "views"},
    "own_mask": {0: "breasts", 1: "views"},
    "other": {0: "breasts", 1: "other_views"},
    "other_mask": {0: "breasts", 1: "other_views"},
    "logit": {0: "breasts"},
}
"""Names of the exported graph's inputs and output, and their free axes."""
WIDTH = 32


class ExamHead(nn.Module):
    """Logit of a breast from the features of its views, and of the other breast's.

    ``own`` (B, V, F) and ``other`` (B, U, F) float32 are features of views
    (`ViewOutputs.features`); ``own_mask`` (B, V) and ``other_mask`` (B, U) are 1
    where there is a view, else 0, as float32. -> logit (B,).

    The order of views plays no part, nor does what stands where the mask is 0. A
    breast without any view gets the bias of the view head. In mode ``breast``
    the other breast is not looked at; in mode ``exam`` the head also sees the
    difference to it, where it has views.

    Parameters
    ----------
    features
        F.
    mode
        ``breast`` or ``exam``.
    width
        Numbers that describe a view inside.
    """

    def __init__(self, features: int, mode: Mode = "breast", *, width: int = WIDTH) -> None:
        super().__init__()
        if mode not in MODES:
            raise SourceInvalid(
                f"mode of the exam head is {mode!r}; allowed are {', '.join(MODES)}"
            )
        self.mode = mode
        self.average = nn.Linear(features, 1)
        # per view, before anything is pooled: what two views share differs from their mean
        self.describe = nn.Sequential(
            nn.LayerNorm(features), nn.Linear(features, width), nn.GELU(approximate="tanh")
        )
        summary = 2 * (width + 1)  # mean and maximum over the views
        self.judge = nn.Sequential(
            nn.Linear(summary if mode == "breast" else 2 * summary + 1, width),
            nn.GELU(approximate="tanh"),
            nn.Linear(width, 1),
        )
        last = self.judge[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @classmethod
    def from_view_head(cls, net: ViewNet, mode: Mode = "breast", *, width: int = WIDTH) -> Self:
        """Return a head that averages the view logits of ``net``, exactly, to begin with."""
        head = cls(net.features, mode, width=width)
        head.average.load_state_dict(net.head.state_dict())
        return head

    def forward(self, own: Tensor, own_mask: Tensor, other: Tensor, other_mask: Tensor) -> Tensor:
        """Return logits (B,)."""
        mask = own_mask.unsqueeze(2)
        logit = self.average(_mean(own, mask)).squeeze(1)
        here = self._summary(own, mask)
        if self.mode == "exam":
            there_mask = other_mask.unsqueeze(2)
            compared = there_mask.amax(dim=1)  # (B, 1): is there anything to compare with
            difference = (here - self._summary(other, there_mask)) * compared
            here = torch.cat([here, difference, compared], dim=1)
        return logit + self.judge(here).squeeze(1)

    def _summary(self, views: Tensor, mask: Tensor) -> Tensor:
        """(B, V, F) -> (B, 2 * (width + 1)): mean and maximum of the described views."""
        # the view's logit tells how strong its features are, which LayerNorm takes away
        described = torch.cat([self.describe(views), self.average(views)], dim=2)
        return torch.cat([_mean(described, mask), _maximum(described, mask)], dim=1)


def _mean(views: Tensor, mask: Tensor) -> Tensor:
    """(B, V, F) and (B, V, 1) -> (B, F); zeros where there is no view."""
    kept = torch.where(mask > 0, views, torch.zeros_like(views))  # NaN times zero is NaN
    return kept.sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def _maximum(views: Tensor, mask: Tensor) -> Tensor:
    """(B, V, F) and (B, V, 1) -> (B, F); zeros where there is no view."""
    lowest = torch.full_like(views, torch.finfo(views.dtype).min)
    most = torch.where(mask > 0, views, lowest).amax(dim=1)
    return torch.where(mask.amax(dim=1) > 0, most, torch.zeros_like(most))
