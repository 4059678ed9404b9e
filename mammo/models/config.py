"""What an experiment can set; `configs/*.yaml` hold only the differences.

docs/training.md says of each setting what it is for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

import yaml

from mammo.augment_settings import AugmentValue, resolve_augment
from mammo.errors import SourceInvalid, SourceNotFound
from mammo.models.config_checks import (
    require_auxiliary,
    require_choices,
    require_descent,
    require_kinds,
    require_known,
    require_ranges,
)
from mammo.preprocess import PreprocessConfig
from mammo.project_files import project_folder

CONFIGS = project_folder("configs")
NOT_OF_TRAINING = frozenset(("change_control_plan",))
"""Files in `CONFIGS` that configure something else."""
OWN_RULES = ("augment", "auxiliary", "preprocess", "gate", "export")
"""Settings that are checked where they are resolved, not by their type."""


class _Reader(yaml.SafeLoader):
    """Reads 1e-4 and 1.5e3 as numbers, as YAML 1.2 does; to YAML 1.1 they are text."""


_Reader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class TrainConfig:
    """Science of one training run; saved with the MLflow run and in the release.

    **What is learnt.** ``target`` is a column of labels (`mammo.data.targets`);
    ``auxiliary`` maps further labels of the image to the weight of their loss.

    **The network.** ``weights`` is a safetensors file or the folder of a release
    to start from instead of ImageNet. ``frozen_stages`` counts from the stem;
    those keep their weights, unless ``unfreeze_every`` > 0: then one more, from
    the head downwards, learns after each so many epochs. ``layer_decay`` is the
    factor of the learning rate from each stage to the one below it.
    ``aggregation`` says how views become a breast.

    **The fit.** ``fit: places`` solves `lite0_places` from where findings lie
    (`mammo.continual.places`); all else descends. Without ``augment`` (false,
    true, a preset or transforms: `mammo.augment_settings`) the frozen part runs
    once per image and its mirror image. ``batch_size`` is per device;
    ``accumulate`` batches make a step. ``monitor`` ends the training after
    ``patience`` epochs without gain on ``watch_fraction`` of the training
    patients, and keeps the best weights.

    **The retraining.** ``retraining`` is how a release is made from the one in
    service (`mammo.continual.strategy`; Lightning's processes are ``strategy``).
    ``replay_images`` bounds what is drawn again of the old rows, 0 being all.
    ``distill_weight`` and ``distill_temperature`` hold the logits of old images,
    ``elastic_weight`` the weights that mattered on ``elastic_images`` of them.

    **The estimate.** ``folds`` > 1 adds an out-of-fold estimate before the final
    fit, ``shuffles`` of them. ``golden_fraction`` of the patients is sealed for
    the gate and ``holdout_fraction`` kept for calibration. ``target_recall_rate``
    is per exam, in [0, 1]; a ``target_specificity`` or ``target_sensitivity``
    takes its place. ``prevalence`` is the share of exams with cancer where the
    release will work, if not that of the calibration set (docs/calibration.md).

    **The graph.** ``export`` holds settings of `mammo.export.settings.ExportConfig`;
    without it the float32 graph is carried (docs/export.md).
    """

    name: str = "default"
    target: str = "cancer"
    auxiliary: dict[str, float] = field(default_factory=dict)

    architecture: str = "tf_efficientnet_lite0"
    pretrained: bool = True
    weights: str | None = None
    pooling: str = "mean_max"
    aggregation: str = "mean"
    dropout: float = 0.0
    drop_path: float = 0.0
    frozen_stages: int = 5
    unfreeze_every: int = 0
    layer_decay: float = 1.0

    fit: str = "gradient"
    epochs: int = 6
    fine_tune_epochs: int = 3
    head_epochs: int = 40
    batch_size: int = 16
    accumulate: int = 1
    learning_rate: float = 5e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.02
    gradient_clip: float = 0.0
    warmup_fraction: float = 0.1
    ema_decay: float = 0.95
    loss: str = "bce"
    label_smoothing: float = 0.02
    positive_weight: float = 0.0
    focal_gamma: float = 2.0
    pf1_share: float = 0.5
    sampler: str = "weighted"
    positive_share: float = 0.3
    augment: AugmentValue = False
    monitor: str = "none"
    patience: int = 3
    watch_fraction: float = 0.15

    retraining: str = "replay"
    replay_share: float = 0.5
    replay_images: int = 0
    distill_weight: float = 1.0
    distill_temperature: float = 2.0
    elastic_weight: float = 1000.0
    elastic_images: int = 256

    precision: str = "32"
    channels_last: bool = False
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    workers: int = 0

    folds: int = 1
    shuffles: int = 1
    golden_fraction: float = 0.3
    holdout_fraction: float = 0.2
    calibration: str = "auto"
    target_recall_rate: float = 0.3
    target_specificity: float | None = None
    target_sensitivity: float | None = None
    prevalence: float | None = None
    seed: int = 7
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    gate: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return asdict(self) | {"preprocess": self.preprocess.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from a mapping.

        Raises
        ------
        SourceInvalid
            A key that does not exist (the nearest that does is named), a value
            of another type, out of its range, or none of those allowed.
        """
        require_known(data, [one.name for one in fields(cls)])
        values = dict(data)
        if isinstance(values.get("precision"), int):
            values["precision"] = str(values["precision"])  # YAML reads 32 as a number
        require_kinds(values, _kinds(cls))
        require_choices(values)
        require_ranges(values)
        require_auxiliary(values.get("auxiliary", {}))
        if "preprocess" in values:
            values["preprocess"] = _preprocess(values["preprocess"])
        resolve_augment(values.get("augment", False))  # refused here, before anything is read
        _require_mapping("gate", values.get("gate", {}))
        _require_mapping("export", values.get("export", {}))
        config = cls(**values)
        _require_together(config)
        return config


def _kinds(kind: type) -> dict[str, type | tuple[type, ...]]:
    hints = get_type_hints(kind)
    plain = {name: hint for name, hint in hints.items() if name not in OWN_RULES}
    return {name: get_args(hint) or hint for name, hint in plain.items()}


def _require_mapping(name: str, value: object) -> None:
    if not isinstance(value, dict):
        raise SourceInvalid(f"{name} is {value!r}; allowed is a mapping of its settings")


def _preprocess(value: Any) -> PreprocessConfig:
    _require_mapping("preprocess", value)
    defaults = PreprocessConfig().to_dict()
    require_known(value, defaults, "setting of preprocess")
    require_kinds(value, _kinds(PreprocessConfig), "preprocess.")
    try:
        return PreprocessConfig.from_dict(defaults | value)
    except ValueError as error:
        raise SourceInvalid(f"preprocess: {error}") from error


def _require_together(config: TrainConfig) -> None:
    """Refuse settings that contradict each other."""
    if config.target_specificity is not None and config.target_sensitivity is not None:
        raise SourceInvalid("set target_specificity or target_sensitivity, not both")
    if config.positive_share in (0, 1):
        raise SourceInvalid(
            f"positive_share is {config.positive_share:g}: both classes must be drawn; "
            "allowed is between 0 and 1, such as 0.3"
        )
    if config.prevalence is not None and config.calibration == "temperature":
        raise SourceInvalid(
            "a temperature does not learn the set's own prevalence, so it cannot be moved to "
            "another: leave prevalence out, or set calibration to platt, beta, isotonic or auto"
        )
    if config.unfreeze_every and config.devices * config.nodes > 1:
        raise SourceInvalid(
            "unfreeze_every works on one device: several agree at the start on what is learnt. "
            "Set devices and nodes to 1, or frozen_stages to what shall stay frozen throughout"
        )
    require_descent(config.fit, config.retraining)
    if config.nodes > 1 and config.folds > 1:
        raise SourceInvalid("folds are cross-validated on one node: set folds or nodes to 1")
    if config.nodes > 1 and config.strategy != "ddp":
        raise SourceInvalid("several nodes need strategy: ddp, started on each with torchrun")


def read_config(name: str, overrides: Sequence[str] = (), **changes: Any) -> TrainConfig:
    """Read ``configs/NAME.yaml``, or a path to a file.

    A file may say ``base: NAME`` and hold the differences to that one.
    ``overrides`` are ``key=value`` with a value in YAML, a key inside a block with
    a dot (``preprocess.height=512``); they win over the file, ``changes`` over both.
    """
    path = _find(name)
    data = _read_with_base(path)
    for one in overrides:
        _override(data, one)
    wanted = {key: value for key, value in changes.items() if value is not None}
    return TrainConfig.from_dict({"name": path.stem} | data | wanted)


def _find(name: str) -> Path:
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        have = ", ".join(config_names())
        raise SourceNotFound(f"No configuration {name!r}. There are: {have}; or give a .yaml file.")
    return path


def config_names() -> list[str]:
    """Return the names that `read_config` knows, sorted."""
    return sorted({path.stem for path in CONFIGS.glob("*.yaml")} - NOT_OF_TRAINING)


def _read_with_base(path: Path) -> dict[str, Any]:
    """Read a file over the one that it calls its base, which has none itself."""
    data = _read_mapping(path)
    base = data.pop("base", None)
    if base is None:
        return data
    below = _read_mapping(_find(str(base)))
    if "base" in below:
        raise SourceInvalid(f"{base}, the base of {path.name}, has a base itself; allowed is one")
    return below | data


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(), _Reader) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise SourceInvalid(f"{path.name} is no YAML: {told}") from error
    if not isinstance(data, dict):
        raise SourceInvalid(f"{path.name} holds {data!r}; allowed is a mapping of settings")
    return data


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SourceInvalid(f"{text!r} is no setting; give key=value, such as epochs=12")
    *blocks, last = key.strip().split(".")
    for block in blocks:
        inner = data.get(block)
        data[block] = dict(inner) if isinstance(inner, dict) else {}
        data = data[block]
    try:
        data[last] = yaml.load(value, _Reader)
    except yaml.YAMLError as error:
        raise SourceInvalid(f"{text!r}: the value is no YAML") from error
