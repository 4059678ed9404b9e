"""The multi-view head starts as averaging, and sees what it should and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mammo.errors import SourceInvalid
from mammo.models.breast_net import ViewNet, build_view_net
from mammo.models.exam_head import HEAD_AXES, HEAD_INPUTS, MODES, ExamHead
from tests.models.graphs import export_graph, run_graph

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def net() -> ViewNet:
    torch.manual_seed(0)
    return build_view_net("small_cnn")[0].eval()


@pytest.fixture
def inputs(net: ViewNet) -> Inputs:
    """Three breasts: two views each, one view, two views and no other breast."""
    draw = torch.Generator().manual_seed(1)
    own = torch.randn(3, 2, net.features, generator=draw)
    other = torch.randn(3, 3, net.features, generator=draw)
    own_mask = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    other_mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    return own, own_mask, other, other_mask


def _trained(net: ViewNet, mode: str) -> ExamHead:
    """A head that has left its start."""
    torch.manual_seed(2)
    head = ExamHead.from_view_head(net, mode)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head.eval()


@pytest.mark.parametrize("mode", MODES)
def test_starts_as_the_mean_of_the_view_logits(net: ViewNet, inputs: Inputs, mode: str) -> None:
    own, mask, _, _ = inputs
    with torch.inference_mode():
        found = ExamHead.from_view_head(net, mode)(*inputs)
        views = torch.stack([net.logits(one) for one in own]) * mask
    torch.testing.assert_close(found, views.sum(1) / mask.sum(1), rtol=1e-5, atol=1e-6)


def _swap_views(own: Tensor, mask: Tensor, other: Tensor, other_mask: Tensor) -> Inputs:
    return own.flip(1), mask.flip(1), other.flip(1), other_mask.flip(1)


def _fill_masked(own: Tensor, mask: Tensor, other: Tensor, other_mask: Tensor) -> Inputs:
    hidden = [
        torch.where(m.unsqueeze(2) > 0, x, torch.nan) for x, m in ((own, mask), (other, other_mask))
    ]
    return hidden[0], mask, hidden[1], other_mask


def _pad(own: Tensor, mask: Tensor, other: Tensor, other_mask: Tensor) -> Inputs:
    pad = torch.nn.functional.pad
    wide = [pad(x, (0, 0, 0, 2), value=9.0) for x in (own, other)]
    masks = [pad(x, (0, 2)) for x in (mask, other_mask)]
    return wide[0], masks[0], wide[1], masks[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("change", [_swap_views, _fill_masked, _pad])
def test_order_and_what_is_masked_play_no_part(
    net: ViewNet, inputs: Inputs, mode: str, change: Callable[..., Inputs]
) -> None:
    head = _trained(net, mode)
    with torch.inference_mode():
        torch.testing.assert_close(head(*change(*inputs)), head(*inputs))


def test_only_the_exam_head_looks_at_the_other_breast(net: ViewNet, inputs: Inputs) -> None:
    own, mask, other, other_mask = inputs
    changed = own, mask, other.flip(2), other_mask
    with torch.inference_mode():
        breast, exam = (_trained(net, mode) for mode in MODES)
        assert torch.equal(breast(*inputs), breast(*changed))
        differs = exam(*inputs) != exam(*changed)
    # the third has no other breast: nothing to compare with
    assert differs.tolist() == [True, True, False]


def test_learns_asymmetry_that_no_average_can_tell(net: ViewNet) -> None:
    """Cancer where a breast differs from the other: its own views alone say nothing."""
    draw = torch.Generator().manual_seed(3)
    tissue = torch.randn(400, 1, net.features, generator=draw)
    label = torch.arange(400) % 2
    finding = label.view(-1, 1, 1) * torch.randn(1, 1, net.features, generator=draw)
    mask = torch.ones(400, 1)
    torch.manual_seed(4)
    head = ExamHead.from_view_head(net, "exam")
    steps = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            head(tissue[:300] + finding[:300], mask[:300], tissue[:300], mask[:300]),
            label[:300].float(),
        )
        steps.zero_grad()
        loss.backward()
        steps.step()
    with torch.inference_mode():
        logits = head((tissue + finding)[300:], mask[300:], tissue[300:], mask[300:])
    assert ((logits > 0) == (label[300:] == 1)).float().mean() > 0.9


@pytest.mark.parametrize("mode", MODES)
def test_export_gives_the_same_logits(
    net: ViewNet, inputs: Inputs, mode: str, tmp_path: Path
) -> None:
    head = _trained(net, mode)
    path = tmp_path / "head.onnx"
    example = tuple(one[:1] for one in inputs)
    export_graph(head, example, path, HEAD_AXES, ["logit"])
    wanted = set(HEAD_INPUTS[:2]) if mode == "breast" else set(HEAD_INPUTS)
    wide = _pad(*inputs)
    feed = {name: one for name, one in zip(HEAD_INPUTS, wide, strict=True) if name in wanted}
    with torch.inference_mode():
        expected = head(*wide).numpy()
    np.testing.assert_allclose(run_graph(path, feed)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SourceInvalid, match=r"'both'; allowed are breast, exam"):
        ExamHead(8, "both")  # type: ignore[arg-type]
