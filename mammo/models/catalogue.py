"""What models there are, with their size, weights and licences: `mammo models`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mammo.errors import SourceNotFound
from mammo.models.backbone import STARTS_FROM
from mammo.models.imagenet import is_packaged, package_of
from mammo.models.registry import BACKBONES, build_backbone
from mammo.models.timm_backbone import TimmModel, timm_names

OWN_LICENCE = "apache-2.0"


@dataclass(frozen=True)
class ModelEntry:
    """One registered model.

    ``parameters`` are those of the feature extractor, ``channels`` those of its
    last map (C; the head weighs C features, 2C with mean and maximum pooling),
    ``stages`` what can be frozen and unfrozen. ``pretrained``: there are ImageNet
    weights, whose licence is ``licence``; ``weights`` says which, ``hub`` where
    on timm's hub (or None), ``at_hand`` whether they are on this machine.
    """

    name: str
    family: str
    parameters: int
    channels: int
    stages: int
    smallest_side: int
    pretrained: bool
    weights: str
    hub: str | None
    at_hand: bool
    licence: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self)


def registered_models() -> list[ModelEntry]:
    """Return the registered models by name; nothing is downloaded, no weight is drawn."""
    return [_entry(name) for name in sorted(BACKBONES)]


def _entry(name: str) -> ModelEntry:
    import torch

    with torch.device("meta"):  # shapes alone
        backbone = build_backbone(name, pretrained=False)
    return ModelEntry(
        name=name,
        parameters=sum(one.numel() for one in backbone.stages.parameters()),
        channels=backbone.channels,
        stages=len(backbone.stages),
        smallest_side=backbone.smallest_side,
        **_origin(name),
    )


def _origin(name: str) -> dict[str, Any]:
    """Return family, weights, where they are, whether here, and their licence."""
    if name in STARTS_FROM:
        return _origin(STARTS_FROM[name]) | {"family": "own"}
    if not isinstance(BACKBONES[name], TimmModel):
        own = {"pretrained": False, "weights": "none: from scratch", "hub": None, "at_hand": False}
        return {"family": "own", **own, "licence": OWN_LICENCE}
    found = timm_entry(name)
    package, hub = package_of(name), found["hub"]
    return {
        "family": found["family"],
        "pretrained": bool(package or hub),
        "weights": f"ImageNet, package {package}" if package else found["weights"],
        "hub": None if package else hub,
        "at_hand": is_packaged(name) if package else _is_cached(hub),
        "licence": found["licence"],
    }


def weights_at_hand(name: str) -> bool:
    """True where a registered model's ImageNet weights are on this machine."""
    return bool(_origin(name)["at_hand"])


def _is_cached(hub: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return hub is not None and isinstance(try_to_load_from_cache(hub, "model.safetensors"), str)


def search_timm(pattern: str) -> list[dict[str, Any]]:
    """Return timm's models whose name is like ``pattern`` (``convnext*``), by name.

    Each has `timm_entry`'s members. Raises SourceNotFound where there is none.
    """
    names = timm_names(pattern)
    if not names:
        raise SourceNotFound(
            f"timm has no model like {pattern!r}: give a pattern with stars, such as 'convnext*'"
        )
    return [timm_entry(name) for name in names]


def timm_entry(name: str) -> dict[str, Any]:
    """Return name, family, weights, hub, licence, ``any_size`` and ``registered``.

    ``hub`` is where its weights are on timm's hub, or None. A network that is
    not of ``any_size`` takes images of one size alone, and cannot be used here.
    """
    import timm

    config: Any = timm.get_pretrained_cfg(name)
    hub = config.hf_hub_id
    return {
        "name": name,
        "family": _family(name),
        "weights": config.tag if hub else "none",
        "hub": hub,
        "licence": config.license or "not stated",
        "any_size": not config.fixed_input_size,
        "registered": name in BACKBONES,
    }


def _family(name: str) -> str:
    """Return the module of timm that a model is defined in, such as ``convnext``."""
    from timm.models import model_entrypoint

    return str(model_entrypoint(name).__module__.rpartition(".")[2])
