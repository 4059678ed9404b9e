"""What an experiment can set; `configs/*.yaml` hold only the differences."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import yaml

from mammo.augment_settings import AugmentValue, resolve_augment
from mammo.errors import SourceInvalid, SourceNotFound
from mammo.preprocess import PreprocessConfig

CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True)
class TrainConfig:
    """Science of one training run; saved with the MLflow run and in the release.

    ``target`` is a column of labels (`mammo.data.targets`). ``frozen_stages``
    counts from the stem; those stages keep their pretrained weights. Without
    ``augment`` (false, true, a preset or transforms: `mammo.augment_settings`)
    the frozen part runs once per image and its mirror image.
    ``folds`` > 1 adds an out-of-fold estimate before the final fit.
    ``golden_fraction`` of the patients is sealed for the gate and
    ``holdout_fraction`` kept for calibration. ``target_recall_rate`` is per
    exam, in [0, 1].
    """

    name: str = "default"
    target: str = "cancer"
    architecture: str = "tf_efficientnet_lite0"
    pretrained: bool = True
    frozen_stages: int = 5
    epochs: int = 6
    fine_tune_epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 0.02
    label_smoothing: float = 0.02
    warmup_fraction: float = 0.1
    ema_decay: float = 0.95
    positive_share: float = 0.3
    augment: AugmentValue = False
    folds: int = 1
    golden_fraction: float = 0.3
    holdout_fraction: float = 0.2
    target_recall_rate: float = 0.3
    replay_share: float = 0.5
    seed: int = 7
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    gate: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self) | {"preprocess": self.preprocess.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from a mapping; an unknown key is an error that names the known ones."""
        known = {one.name for one in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise SourceInvalid(
                f"Unknown setting {', '.join(unknown)}. Allowed: {', '.join(sorted(known))}."
            )
        values = dict(data)
        if "preprocess" in values:
            values["preprocess"] = PreprocessConfig.from_dict(
                PreprocessConfig().to_dict() | values["preprocess"]
            )
        resolve_augment(values.get("augment", False))  # refused here, before anything is read
        return cls(**values)


def read_config(name: str, **changes: Any) -> TrainConfig:
    """Read ``configs/NAME.yaml``, or a path to a file; ``changes`` win over it."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        have = ", ".join(sorted(one.stem for one in CONFIGS.glob("*.yaml")))
        raise SourceNotFound(f"No configuration {name!r}. There are: {have}; or give a .yaml file.")
    data = yaml.safe_load(path.read_text()) or {}
    wanted = {key: value for key, value in changes.items() if value is not None}
    return TrainConfig.from_dict({"name": path.stem} | data | wanted)
