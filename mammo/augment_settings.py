"""What augmentation a training may ask for: presets, and a mapping of transforms that changes one.

In ``configs/*.yaml``::

    augment: true                    # the preset `standard`
    augment: strong
    augment: {preset: light, elastic: {p: 0.2, shift: 0.01}, noise: null}

`mammo.data.augment` makes the pipeline; this module imports no library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mammo.errors import SourceInvalid

Transform = dict[str, float]
AugmentValue = bool | str | dict[str, Any]

DEFAULTS: dict[str, Transform] = {
    "horizontal_flip": {"p": 0.5},
    "vertical_flip": {"p": 0.5},
    "rotation": {"p": 0.5, "degrees": 10.0},
    "affine": {"p": 0.7, "degrees": 30.0, "scale": 0.1, "translate": 0.05, "shear_degrees": 0.0},
    "crop": {"p": 0.5, "share": 0.08},
    "elastic": {"p": 0.3, "shift": 0.015},
    "brightness_contrast": {"p": 0.7, "brightness": 0.15, "contrast": 0.2},
    "tone": {"p": 0.5, "gamma": 0.25, "curve": 0.0},
    "noise": {"p": 0.3, "std": 0.02},
    "dropout": {"p": 0.3, "holes": 4.0, "size": 0.12},
}
"""Transform -> its settings, in the order in which they are applied.

``p`` is the probability. ``degrees`` is the largest angle either way; ``scale``, ``translate``,
``crop.share`` (cut off each edge at most), ``elastic.shift`` (largest typical shift) and
``dropout.size`` are shares of the image's side; ``brightness``, ``contrast`` and ``noise.std``
shares of the full scale; ``gamma`` g draws an exponent in [1 / (1 + g), 1 + g]; ``curve`` is the
spread of an S-shaped tone curve.
"""

LIMITS = {"p": 1.0, "degrees": 180.0, "scale": 0.5, "translate": 0.5, "shear_degrees": 45.0,
          "share": 0.3, "shift": 0.1, "brightness": 1.0, "contrast": 1.0, "gamma": 4.0,
          "curve": 1.0, "std": 1.0, "holes": 64.0, "size": 0.5}  # fmt: skip
"""Setting -> the largest allowed; the smallest is 0."""

PRESETS: dict[str, dict[str, Transform]] = {
    "light": {
        "horizontal_flip": {},
        "rotation": {},
        "brightness_contrast": {"p": 0.5, "brightness": 0.05, "contrast": 0.1},
    },
    "standard": {
        "horizontal_flip": {},
        "vertical_flip": {},
        "affine": {},
        "brightness_contrast": {},
        "tone": {},
        "dropout": {},
    },
    "strong": {
        "horizontal_flip": {},
        "vertical_flip": {},
        "affine": {"p": 0.8, "scale": 0.15, "shear_degrees": 5.0},
        "crop": {},
        "elastic": {},
        "brightness_contrast": {"brightness": 0.2, "contrast": 0.3},
        "tone": {"gamma": 0.4, "curve": 0.1},
        "noise": {},
        "dropout": {"p": 0.5, "holes": 8.0, "size": 0.15},
    },
}
"""``standard`` follows the leading solutions of the RSNA challenge: both flips, affine to 30
degrees, contrast, coarse dropout. ``light`` is for small sets and frozen trunks."""


def resolve_augment(value: AugmentValue) -> dict[str, Transform]:
    """Return every transform that is asked for with all its settings; empty for False.

    Raises
    ------
    SourceInvalid
        An unknown preset, transform or setting, or a number out of its range.
    """
    if value is True:
        value = "standard"
    if isinstance(value, str):
        value = {"preset": value}
    if value is False:
        return {}
    if not isinstance(value, Mapping):
        raise SourceInvalid(
            f"augment is {value!r}; allowed are false, true, a preset ({', '.join(PRESETS)}) "
            "or a mapping of transforms"
        )
    wanted = _preset(value.get("preset"))
    for name, settings in value.items():
        if name == "preset":
            continue
        if name not in DEFAULTS:
            allowed = ", ".join(DEFAULTS)
            raise SourceInvalid(f"augment has no transform {name!r}; allowed are {allowed}")
        wanted[name] = None if settings in (None, False) else _merge(name, wanted, settings)
    return {name: checked for name in DEFAULTS if (checked := _check(name, wanted.get(name)))}


def _preset(name: object) -> dict[str, Transform | None]:
    if name is None:
        return {}
    if name not in PRESETS:
        raise SourceInvalid(f"augment has no preset {name!r}; allowed are {', '.join(PRESETS)}")
    return dict(PRESETS[str(name)])


def _merge(name: str, wanted: dict[str, Transform | None], settings: object) -> Transform:
    if settings is True:
        settings = {}
    if not isinstance(settings, Mapping):
        raise SourceInvalid(
            f"augment.{name} is {settings!r}; allowed are its settings "
            f"({', '.join(DEFAULTS[name])}) as a mapping, true for its defaults, null to leave out"
        )
    return (wanted.get(name) or {}) | dict(settings)


def _check(name: str, settings: Transform | None) -> Transform | None:
    if settings is None:
        return None
    if unknown := sorted(set(settings) - set(DEFAULTS[name])):
        raise SourceInvalid(
            f"augment.{name} has no setting {', '.join(unknown)}; "
            f"allowed are {', '.join(DEFAULTS[name])}"
        )
    for key, number in settings.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise SourceInvalid(f"augment.{name}.{key} is {number!r}; allowed is a number")
        if not 0 <= number <= LIMITS[key]:
            raise SourceInvalid(
                f"augment.{name}.{key} is {number:g}; allowed are 0 to {LIMITS[key]:g}"
            )
    return DEFAULTS[name] | {key: float(number) for key, number in settings.items()}
