"""Rewrite a network into one that gives the same logits and that runtimes run faster.

Two rewrites, both exact, chosen by looking at where ONNX Runtime spends its time:

*Padding known beforehand.* TensorFlow's "same" padding depends on the size of
the image, so that the traced graph computes it at each call. Between two int8
convolutions that pad runs in float: at 1024 x 512 it cost more than half of
lite0's time. The size of a release's images is fixed, and with it the padding,
which the runtime then merges into the convolution.

*Strided 1 x 1 convolutions* (the shortcuts of a ResNet) read every other pixel.
Dropping the others first lets the convolution be one dense product of matrices.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def lower_network(network: nn.Module, *, height: int, width: int) -> nn.Module:
    """Return a copy of ``network`` in evaluation mode, rewritten for images of this size.

    ``network`` takes (N, 1, height, width) float32 and is left as it is.
    """
    lowered = copy.deepcopy(network).eval()
    sizes = _input_sizes(lowered, height, width)
    for name, (rows, columns) in sizes.items():
        convolution = lowered.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        if _pads_by_size(convolution):
            _replace(lowered, name, _padded(convolution, rows, columns))
        elif _is_strided_pointwise(convolution):
            _replace(lowered, name, _thinned(convolution))
    return lowered


def _pads_by_size(convolution: nn.Conv2d) -> bool:
    from timm.layers.conv2d_same import Conv2dSame

    return isinstance(convolution, Conv2dSame)


def _is_strided_pointwise(convolution: nn.Conv2d) -> bool:
    return (
        convolution.kernel_size == (1, 1)
        and convolution.stride != (1, 1)
        and convolution.padding in ((0, 0), 0)
    )


def _input_sizes(network: nn.Module, height: int, width: int) -> dict[str, tuple[int, int]]:
    """Return the rows and columns that reach each convolution to be rewritten."""
    sizes: dict[str, tuple[int, int]] = {}
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and (
            _pads_by_size(module) or _is_strided_pointwise(module)
        ):

            def note(one: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                rows, columns = inputs[0].shape[-2:]
                sizes[name] = (int(rows), int(columns))

            hooks.append(module.register_forward_pre_hook(note))
    with torch.inference_mode():
        network(torch.zeros(1, 1, height, width))
    for hook in hooks:
        hook.remove()
    return sizes


def _padded(convolution: nn.Conv2d, rows: int, columns: int) -> nn.Module:
    """Return the convolution with TensorFlow's padding of images (rows, columns) spelt out."""
    from timm.layers.padding import pad_same_arg

    stride, dilation = list(convolution.stride), list(convolution.dilation)
    kernel = list(convolution.kernel_size)
    left, right, top, bottom = pad_same_arg([rows, columns], kernel, stride, dilation)
    if left == right and top == bottom:
        return _like(convolution, convolution.stride, padding=(top, left))
    pad = nn.ZeroPad2d((left, right, top, bottom))
    return nn.Sequential(pad, _like(convolution, convolution.stride, padding=(0, 0)))


def _thinned(convolution: nn.Conv2d) -> nn.Module:
    """Return the strided 1 x 1 convolution as: keep every other pixel, then convolve."""
    # the maximum over a single pixel: a pooling that every runtime and quantizer knows
    keep = nn.MaxPool2d(1, stride=convolution.stride)
    return nn.Sequential(keep, _like(convolution, (1, 1), padding=(0, 0)))


def _like(
    convolution: nn.Conv2d, stride: tuple[int, ...], *, padding: tuple[int, int]
) -> nn.Conv2d:
    """Return a plain convolution with the same weights."""
    plain = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (convolution.kernel_size[0], convolution.kernel_size[1]),
        stride=(stride[0], stride[1]),
        padding=padding,
        dilation=(convolution.dilation[0], convolution.dilation[1]),
        groups=convolution.groups,
        bias=convolution.bias is not None,
    )
    plain.load_state_dict(convolution.state_dict())
    return plain.eval()


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)
