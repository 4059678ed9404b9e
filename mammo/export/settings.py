"""What an export tries, and what a graph must keep to be carried by a release."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from mammo.errors import SourceInvalid

FP32 = "onnx_fp32"
TORCHSCRIPT = "torchscript"
CANDIDATES = (TORCHSCRIPT, FP32, "onnx_int8", "pruned_fp32", "pruned_int8")
"""Graphs beside eager PyTorch, which is what they are judged against."""
CARRIED = tuple(name for name in CANDIDATES if name.startswith(("onnx", "pruned")))
"""Those that a release can carry as model.onnx; TorchScript is for users of PyTorch."""
CALIBRATIONS = ("minmax", "average", "percentile", "entropy")


@dataclass(frozen=True)
class QuantizeConfig:
    """How activations are given their 8 bits.

    ``images`` are drawn by lot from the training patients. ``narrow_channels``:
    see `mammo.export.quantize.quantised_names`. ``reduce_range`` gives weights 7
    bits, exact on processors without VNNI.
    """

    calibration: str = "minmax"
    images: int = 32
    narrow_channels: int = 32
    reduce_range: bool = True
    bias_correction: bool = True

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATIONS:
            raise SourceInvalid(
                f"export: calibration is {self.calibration!r}; "
                f"allowed are {', '.join(CALIBRATIONS)}"
            )
        if self.images < 1:
            raise SourceInvalid(f"export: images is {self.images}; at least 1 is needed")


@dataclass(frozen=True)
class ExportConfig:
    """Which graphs are made of a trained network, and the bars they must pass.

    A candidate passes when its AUC is at most ``max_auc_loss`` below eager
    PyTorch's, the lower bound of the difference's interval is above minus
    ``max_auc_loss_bound``, and, for float graphs of the same weights, no logit
    differs by more than ``max_logit_difference``. A constant or broken score is
    caught by the same bars. ``prune`` is the share of channels taken away.
    """

    candidates: tuple[str, ...] = (FP32,)
    max_auc_loss: float = 0.005
    max_auc_loss_bound: float = 0.03
    max_logit_difference: float = 1e-3
    prune: float = 0.3
    prune_epochs: int = 3
    latency_turns: int = 7
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.candidates) - set(CANDIDATES))
        if unknown:
            raise SourceInvalid(
                f"export: no candidate {', '.join(unknown)}; allowed are {', '.join(CANDIDATES)}"
            )
        if not 0 < self.prune < 1:
            raise SourceInvalid(f"export: prune is {self.prune}; allowed is between 0 and 1")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self) | {"candidates": list(self.candidates)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from a mapping, such as a configuration's ``export``.

        Raises SourceInvalid for an unknown key or a value that is not allowed.
        """
        values = dict(data)
        _require_known(values, cls)
        if "quantize" in values:
            _require_known(values["quantize"], QuantizeConfig)
            values["quantize"] = QuantizeConfig(**values["quantize"])
        if "candidates" in values:
            values["candidates"] = tuple(values["candidates"])
        return cls(**values)


def _require_known(values: dict[str, Any], kind: type) -> None:
    known = {one.name for one in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise SourceInvalid(
            f"export: unknown setting {', '.join(unknown)}. Allowed: {', '.join(sorted(known))}."
        )
