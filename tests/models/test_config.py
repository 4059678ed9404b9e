"""What a configuration may say, and what is refused before anything is read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mammo.continual.start import start_network
from mammo.errors import SourceInvalid
from mammo.models.config import CONFIGS, TrainConfig, config_names, read_config
from mammo.models.config_checks import AUXILIARY, CHOICES, RANGES
from mammo.models.losses import build_loss


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lerning_rate": 0.1}, r"setting lerning_rate \(did you mean learning_rate\?\)\. Allow"),
        ({"preprocess": {"hieght": 3}}, r"of preprocess hieght \(did you mean height\?\)"),
        ({"preprocess": 3}, "preprocess is 3; allowed is a mapping"),
        ({"preprocess": {"height": "tall"}}, "preprocess.height is 'tall'; allowed is int"),
        ({"preprocess": {"height": 0}}, "preprocess: sizes are at least 16"),
        ({1: 2, "epoch": 3}, r"setting 1, epoch \(did you mean epochs\?\)"),
        ({"positive_share": 0}, "positive_share is 0: both classes must be drawn"),
        ({"positive_share": 1.0, "sampler": "per_batch"}, "positive_share is 1: both classes"),
        ({"auxiliary": {"densty": 1}}, r"label densty \(did you mean density\?\)"),
        ({"auxiliary": {"density": "much"}}, "auxiliary.density is 'much'; allowed is a number"),
        ({"auxiliary": ["density"]}, r"such as \{density: 0\.2\}"),
        ({"loss": "focl"}, r"loss is 'focl' \(did you mean focal\?\); allowed are bce"),
        ({"epochs": "many"}, "epochs is 'many'; allowed is int"),
        ({"epochs": 0}, "epochs is 0; allowed are 1 to 10000"),
        ({"epochs": True}, "epochs is True; allowed is int"),
        ({"pretrained": 1}, "pretrained is 1; allowed is bool"),
        ({"weights": 3}, "weights is 3; allowed is str or nothing"),
        ({"holdout_fraction": 0.0}, "holdout_fraction is 0; allowed are 0.001 to 0.9"),
        ({"target_specificity": 0.9, "target_sensitivity": 0.9}, "not both"),
        ({"unfreeze_every": 1, "devices": 2}, "unfreeze_every works on one device"),
        ({"nodes": 2, "folds": 5, "strategy": "ddp"}, "cross-validated on one node"),
        ({"nodes": 2}, "need strategy: ddp"),
        ({"retraining": "distil"}, r"retraining is 'distil' \(did you mean distill\?\)"),
        ({"fit": "places", "retraining": "ewc"}, "retraining is ewc, which holds the weights"),
    ],
)
def test_what_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SourceInvalid, match=told):
        TrainConfig.from_dict(values)


def test_every_rule_is_of_a_setting_and_its_default_passes() -> None:
    defaults = TrainConfig().to_dict()
    assert not {*CHOICES, *RANGES} - set(defaults)
    assert TrainConfig.from_dict(defaults) == TrainConfig()
    assert {name: defaults[name] for name in CHOICES} == {n: all_[0] for n, all_ in CHOICES.items()}
    assert TrainConfig.from_dict({"auxiliary": dict.fromkeys(AUXILIARY, 0.1), "precision": 32})


def test_overrides_win_over_the_file() -> None:
    config = read_config("smoke", ["epochs=3", "preprocess.height=256", "augment=light"], seed=1)
    assert (config.epochs, config.seed, config.augment) == (3, 1, "light")
    assert (config.preprocess.height, config.preprocess.width) == (256, 64)  # the file's stays


@pytest.mark.parametrize(
    ("text", "told"),
    [("epochs", "give key=value"), ("=3", "give key=value"), ("augment={", "value is no YAML")],
)
def test_an_override_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(SourceInvalid, match=told):
        read_config("smoke", [text])


def test_a_number_may_be_written_as_one_thinks_of_it(tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-4 and 1.5e1 for text."""
    (tmp_path / "own.yaml").write_text(
        "weight_decay: 2.0E-3\ngradient_clip: 1.5e1\naugment: {horizontal_flip: {p: 5e-1}}"
    )
    config = read_config(str(tmp_path / "own.yaml"), ["learning_rate=1e-4"])
    assert (config.learning_rate, config.weight_decay, config.gradient_clip) == (1e-4, 2e-3, 15)
    assert config.augment == {"horizontal_flip": {"p": 0.5}}


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a: [", "is no YAML"), (b"- a", "a mapping of sett"), (b"\xff\xfea", "is no YAML")],
    ids=["broken", "a list", "no text"],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    with pytest.raises(SourceInvalid, match=told):
        read_config(str(tmp_path / "own.yaml"))


def test_a_file_holds_the_differences_to_its_base(tmp_path: Path) -> None:
    base, own = read_config("rsna"), read_config("rsna_2048")
    assert (own.name, own.preprocess.height) == ("rsna_2048", 2048)
    assert own.architecture == base.architecture == "convnext_small"
    assert own.batch_size * own.accumulate == base.batch_size * base.accumulate
    (tmp_path / "own.yaml").write_text("base: rsna_2048")
    with pytest.raises(SourceInvalid, match="has a base itself"):
        read_config(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_builds_its_network_and_loss(name: str) -> None:
    config = replace(read_config(name), pretrained=False)
    net, _ = start_network(config)
    assert build_loss(config) and net.frozen_stages <= len(net.stages)
    # a positive in every batch is possible: the share is of a batch that can hold one
    assert config.positive_share * config.batch_size >= 1


def test_every_setting_is_documented_with_its_default() -> None:
    page = (CONFIGS.parent / "docs/training.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, flags=re.MULTILINE))
    defaults = TrainConfig().to_dict()
    assert list(told) == list(defaults)
    for name, text in told.items():
        if name != "preprocess":
            assert yaml.safe_load(text) == defaults[name], name
