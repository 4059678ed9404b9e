"""What a setting may be: names near what was meant, choices, ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from mammo.errors import SourceInvalid

CHOICES: dict[str, tuple[str, ...]] = {
    "pooling": ("mean_max", "mean", "max", "gem"),
    "aggregation": ("mean", "max", "breast_head", "exam_head"),
    "fit": ("gradient", "places"),
    "loss": ("bce", "weighted_bce", "focal", "pf1"),
    "retraining": ("replay", "scratch", "fine_tune", "distill", "ewc"),
    "sampler": ("weighted", "per_batch"),
    "monitor": ("none", "watch_auc", "watch_loss"),
    "precision": ("32", "bf16-mixed", "16-mixed"),
    "strategy": ("auto", "ddp_spawn", "ddp"),
    "calibration": ("auto", "platt", "temperature", "beta", "isotonic"),
}
"""Setting -> what it may be; the first is the default."""

AUXILIARY = ("density", "view", "birads", "difficult")
"""What else a network may learn, each with a weight (`TrainConfig.auxiliary`)."""

RANGES: dict[str, tuple[float, float]] = {
    "frozen_stages": (0, 99),
    "unfreeze_every": (0, 1000),
    "layer_decay": (0.01, 1),
    "dropout": (0, 0.95),
    "drop_path": (0, 0.95),
    "epochs": (1, 10_000),
    "fine_tune_epochs": (1, 10_000),
    "head_epochs": (1, 10_000),
    "batch_size": (1, 100_000),
    "accumulate": (1, 10_000),
    "learning_rate": (0, 10),
    "head_learning_rate": (0, 10),
    "weight_decay": (0, 10),
    "gradient_clip": (0, 1e6),
    "label_smoothing": (0, 0.99),
    "focal_gamma": (0, 10),
    "positive_weight": (0, 1e6),
    "pf1_share": (0, 1),
    "warmup_fraction": (0, 0.99),
    "ema_decay": (0, 0.999999),
    "positive_share": (0, 1),
    "watch_fraction": (0.01, 0.5),
    "patience": (0, 10_000),
    "folds": (1, 1000),
    "shuffles": (1, 1000),
    "golden_fraction": (0.001, 0.9),
    "holdout_fraction": (0.001, 0.9),
    "target_recall_rate": (0.0001, 0.9999),
    "target_specificity": (0.0001, 0.9999),
    "target_sensitivity": (0.0001, 0.9999),
    "prevalence": (0.00001, 0.9999),
    "replay_share": (0, 1),
    "replay_images": (0, 100_000_000),
    "distill_weight": (0, 1000),
    "distill_temperature": (0.01, 100),
    "elastic_weight": (0, 1e9),
    "elastic_images": (1, 1_000_000),
    "devices": (1, 1024),
    "nodes": (1, 1024),
    "workers": (0, 1024),
    "seed": (0, 2**32 - 1),
}
"""Setting -> the smallest and the largest allowed."""

Kinds = Mapping[str, type | tuple[type, ...]]


def require_known(given: Iterable[str], known: Collection[str], what: str = "setting") -> None:
    """Raise SourceInvalid for names that do not exist, with the nearest that does for each."""
    unknown = sorted(str(name) for name in set(given) - set(known))
    if not unknown:
        return
    told = ", ".join(f"{name}{_meant(name, known)}" for name in unknown)
    raise SourceInvalid(f"Unknown {what} {told}. Allowed: {', '.join(sorted(known))}.")


def _meant(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def require_choices(values: Mapping[str, Any]) -> None:
    """Raise SourceInvalid for a value that is none of its setting's `CHOICES`."""
    for name, allowed in CHOICES.items():
        if name in values and values[name] not in allowed:
            meant = _meant(str(values[name]), allowed)
            raise SourceInvalid(
                f"{name} is {values[name]!r}{meant}; allowed are {', '.join(allowed)}"
            )


def require_ranges(values: Mapping[str, Any]) -> None:
    """Raise SourceInvalid for a number outside of its setting's `RANGES`."""
    for name, (low, high) in RANGES.items():
        value = values.get(name)
        if value is not None and not low <= value <= high:
            raise SourceInvalid(f"{name} is {value:g}; allowed are {low:g} to {high:g}")


def require_descent(fit: str, retraining: str) -> None:
    """Raise SourceInvalid for a network that is solved and a retraining that needs descent."""
    if fit == "places" and retraining in ("distill", "ewc"):
        raise SourceInvalid(
            f"retraining is {retraining}, which holds the weights while they descend, but fit: "
            "places solves them at once: set retraining to replay, fine_tune or scratch"
        )


def require_kinds(values: Mapping[str, Any], kinds: Kinds, block: str = "") -> None:
    """Raise SourceInvalid for a value of another type than its setting has.

    A whole number is a float as well; true and false are no numbers. ``block``
    goes before the name in the message, such as ``gate.``.
    """
    for name, kind in kinds.items():
        if name not in values:
            continue
        value, allowed = values[name], kind if isinstance(kind, tuple) else (kind,)
        wide = (*allowed, int) if float in allowed else allowed
        if not isinstance(value, wide) or (isinstance(value, bool) and bool not in allowed):
            names = " or ".join("nothing" if k is type(None) else k.__name__ for k in allowed)
            raise SourceInvalid(f"{block}{name} is {value!r}; allowed is {names}")


def require_auxiliary(weights: object) -> None:
    """Raise SourceInvalid unless ``weights`` maps `AUXILIARY` names to positive numbers."""
    if not isinstance(weights, Mapping):
        raise SourceInvalid(
            f"auxiliary is {weights!r}; allowed is a mapping of {', '.join(AUXILIARY)} to the "
            "weight of its loss, such as {density: 0.2}"
        )
    require_known(weights, AUXILIARY, "auxiliary label")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 100:
            raise SourceInvalid(f"auxiliary.{name} is {weight!r}; allowed is a number up to 100")
