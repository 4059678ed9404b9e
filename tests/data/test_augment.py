"""Augmentation: boxes follow, background stays dark, the breast stays, inference is untouched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.augment_settings import DEFAULTS, PRESETS, resolve_augment
from mammo.data.augment import BACKGROUND, KEPT, build_augment
from mammo.data.dataset import ViewDataset
from mammo.data.shards import ShardReader
from mammo.errors import SourceInvalid
from mammo.models.config import TrainConfig
from mammo.preprocess import PreprocessConfig, to_tensor

HEIGHT, WIDTH = 256, 128
LESION = (50.0, 120.0, 70.0, 140.0)


def breast(seed: int = 0) -> np.ndarray:
    """Return (1, H, W): a half disc on black with a bright lesion at `LESION`."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside = ((y - HEIGHT / 2) / 110) ** 2 + (x / 95) ** 2 < 1
    tissue = 0.35 + 0.05 * np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH))
    image = np.where(inside, tissue, 0.0)
    image[120:140, 50:70] = 0.95
    return image[None].clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_keeps_breast_lesion_and_darkness(preset: str) -> None:
    augment = build_augment(3, preset)
    assert augment is not None
    changed = 0
    for _ in range(40):
        drawn = augment.with_boxes(breast(), [LESION])
        assert drawn.image.shape == (1, HEIGHT, WIDTH)
        assert drawn.image.dtype == np.float32
        assert 0 <= drawn.image.min() <= drawn.image.max() <= 1
        assert drawn.breast >= KEPT
        assert (drawn.kept, drawn.lost) == ((0,), 0)
        # of the half disc 58 % is breast: after any draw a good part must still be dark, and dark
        assert (drawn.image <= BACKGROUND).mean() > 0.15
        changed += not np.array_equal(drawn.image, breast())
    assert changed >= 35


@pytest.mark.parametrize("name", ["horizontal_flip", "vertical_flip", "affine", "crop", "rotation"])
def test_the_box_follows_the_lesion(name: str) -> None:
    augment = build_augment(5, {name: {"p": 1.0}})
    assert augment is not None
    for _ in range(10):
        drawn = augment.with_boxes(breast(), [LESION])
        x0, y0, x1, y1 = drawn.boxes[0]
        bright_y, bright_x = np.nonzero(drawn.image[0] > 0.8)
        assert abs((x0 + x1) / 2 - bright_x.mean() - 0.5) < 2
        assert abs((y0 + y1) / 2 - bright_y.mean() - 0.5) < 2


def test_both_flips_are_drawn_apart() -> None:
    """albumentations' own seeding gives every transform the same stream."""
    augment = build_augment(1, {"horizontal_flip": True, "vertical_flip": True})
    assert augment is not None
    seen = set()
    for _ in range(40):
        x0, y0, *_ = augment.with_boxes(breast(), [(0.0, 0.0, 20.0, 20.0)]).boxes[0]
        seen.add((x0 > 10, y0 > 10))
    assert len(seen) == 4


def test_a_box_outside_the_image_is_dropped_and_counted() -> None:
    augment = build_augment(1, "light")
    assert augment is not None
    drawn = augment.with_boxes(breast(), [LESION, (500.0, 500.0, 520.0, 520.0)])
    assert (drawn.kept, drawn.lost, drawn.draws) == ((0,), 1, 0)


def test_a_seed_repeats_and_another_does_not() -> None:
    def first_five(seed: int) -> np.ndarray:
        augment = build_augment(seed, "strong")
        assert augment is not None
        return np.stack([augment(breast()) for _ in range(5)])

    assert np.array_equal(first_five(7), first_five(7))
    assert not np.array_equal(first_five(7), first_five(8))


@pytest.fixture
def stored(tmp_path: Path, make_index: object) -> tuple[pd.DataFrame, Path]:
    pixels = np.stack([(breast(seed)[0] * 65535).astype(np.uint16) for seed in range(8)])
    np.save(tmp_path / "s.npy", pixels)
    rows = [{"cancer": row % 2, "geometry": json.dumps({})} for row in range(8)]
    return make_index(rows), tmp_path  # type: ignore[operator]


CONFIG = PreprocessConfig(height=HEIGHT, width=WIDTH)


@pytest.mark.slow
def test_workers_repeat_an_epoch_and_draw_apart(stored: tuple[pd.DataFrame, Path]) -> None:
    import torch
    from torch.utils.data import DataLoader

    index, shards = stored
    same = pd.concat([index.head(1)] * 8)

    def epochs() -> list[np.ndarray]:
        data = ViewDataset(
            same, shards, CONFIG, target="cancer", augment=build_augment(7, "standard")
        )
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(data, batch_size=1, num_workers=2, generator=generator)
        return [np.concatenate([images.numpy() for images, _ in loader]) for _ in range(2)]

    first, second = epochs()
    again, _ = epochs()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert len({image.tobytes() for image in first}) > 6  # two workers alike would give four


def test_what_is_evaluated_is_bit_for_bit_unaugmented(stored: tuple[pd.DataFrame, Path]) -> None:
    index, shards = stored
    plain = ViewDataset(index, shards, CONFIG, target="cancer")
    training = ViewDataset(
        index, shards, CONFIG, target="cancer", augment=build_augment(7, "strong")
    )
    reader = ShardReader(shards)
    differ = 0
    for item in range(len(plain)):
        wanted = to_tensor(reader.row("s", item), CONFIG)
        assert np.array_equal(plain[item][0].numpy(), wanted)
        assert np.array_equal(training.image(item), wanted)
        differ += not np.array_equal(training[item][0].numpy(), wanted)
    assert differ >= 6


@pytest.mark.slow
def test_scores_do_not_depend_on_the_augmentation(stored: tuple[pd.DataFrame, Path]) -> None:
    from mammo.continual.network import view_logits
    from mammo.continual.start import start_network

    index, shards = stored
    plain = TrainConfig(
        architecture="small_cnn", pretrained=False, frozen_stages=0, preprocess=CONFIG
    )
    net, _ = start_network(plain)
    scores = view_logits(net, index, shards, plain)
    assert np.array_equal(scores, view_logits(net, index, shards, replace(plain, augment="strong")))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (False, []),
        (True, list(PRESETS["standard"])),
        ("light", ["horizontal_flip", "rotation", "brightness_contrast"]),
        ({"preset": "light", "rotation": None, "noise": {"std": 0.1}},
         ["horizontal_flip", "brightness_contrast", "noise"]),
        ({"elastic": True}, ["elastic"]),
    ],
)  # fmt: skip
def test_what_a_configuration_asks_for(value: object, names: list[str]) -> None:
    assert list(resolve_augment(value)) == names  # type: ignore[arg-type]
    config = TrainConfig.from_dict({"augment": value})
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert (build_augment(1, config.augment) is None) == (not names)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("wild", "no preset 'wild'; allowed are light, standard, strong"),
        ({"rotate": {}}, "no transform 'rotate'; allowed are horizontal_flip"),
        ({"rotation": {"angle": 3}}, "augment.rotation has no setting angle"),
        ({"rotation": {"degrees": 300}}, "degrees is 300; allowed are 0 to 180"),
        ({"rotation": {"p": "often"}}, "p is 'often'; allowed is a number"),
        ({"rotation": 5}, "augment.rotation is 5; allowed are its settings"),
        (3, "augment is 3; allowed are false, true, a preset"),
    ],
)
def test_a_wrong_setting_is_refused_when_the_configuration_is_read(
    value: object, told: str
) -> None:
    with pytest.raises(SourceInvalid, match=told):
        TrainConfig.from_dict({"augment": value})


@pytest.mark.parametrize("sign", [1, -1], ids=["burnt out", "gone black"])
def test_tissue_stays_to_be_seen(sign: int) -> None:
    """Brightness may not turn the breast of a dark scanner black, nor a bright one's white."""
    augment = build_augment(4, {"brightness_contrast": {"p": 1.0, "brightness": 0.3}})
    assert augment is not None
    image = breast()
    tissue = (image > BACKGROUND) & (image < 0.9)
    image[tissue] += 0.4 if sign > 0 else -0.2
    image = image.clip(0, 1)
    seen = image > BACKGROUND
    for _ in range(30):
        drawn = augment(image)[seen]
        assert ((drawn > BACKGROUND) & (drawn < 0.99)).mean() > 0.6


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_transform_alone_changes_the_image_and_keeps_the_dark(name: str) -> None:
    augment = build_augment(2, {name: {"p": 1.0}})
    assert augment is not None
    drawn = [augment(breast()) for _ in range(3)]
    assert any(not np.array_equal(image, breast()) for image in drawn)
    assert all((image <= BACKGROUND).mean() > 0.15 for image in drawn)
