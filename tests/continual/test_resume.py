"""A training that is killed ends as if it had not been; other people's checkpoints are refused."""

from __future__ import annotations

import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from mammo.continual import checkpoints
from mammo.continual.checkpoints import FINISHED, HISTORY, RunFolder, open_run, run_key
from mammo.continual.network import fit_network
from mammo.continual.start import start_network
from mammo.errors import CheckpointForeign, TrainingDiverged, TrainingRunning
from mammo.models.breast_net import build_view_net
from mammo.models.module import ViewModule
from tests.continual.killed_fit import EPOCHS, EVERY_EPOCH, fit_in_process
from tests.continual.synthetic import config, write_store

pytestmark = pytest.mark.slow
KILLED = -signal.SIGKILL


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": True, "monitor": "watch_auc", "watch_fraction": 0.3, "patience": 9},
        {"sampler": "per_batch", "accumulate": 2, "auxiliary": {"difficult": 0.1}},
        {"retraining": "distill", "replay_images": 8, "augment": "light", "dropout": 0.2},
        {"retraining": "ewc", "elastic_images": 8, "elastic_weight": 50.0, "batch_size": 4},
    ],
    ids=["augmented and watched", "trunk kept", "distilled, augmented", "elastic, trunk kept"],
)
def test_a_killed_fit_ends_with_the_same_weights(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Killed in the first epoch, in the middle of another and once more, then let go on."""
    assert fit_in_process(tmp_path, "whole", **changes) == 0
    for die_at, left in (((0, 1), []), ((2, 0), ["epoch-0002"]), ((3, 1), ["epoch-0003"])):
        assert fit_in_process(tmp_path, "killed", die_at=die_at, **changes) == KILLED
        assert sorted(path.stem for path in (tmp_path / "killed").glob("epoch-*.ckpt")) == left
    assert fit_in_process(tmp_path, "killed", **changes) == 0
    whole, killed = (tmp_path / f"{run}.safetensors" for run in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    assert (tmp_path / "killed.epochs").read_text() == str(EPOCHS)  # of all processes together
    left_over = {path.name for path in (tmp_path / "killed").glob("[!.]*")}
    assert left_over == {FINISHED, "history.json"}


class Payload:
    """What a stranger may put into a pickle."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run by a checkpoint",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (pickle.dumps(Payload(), protocol=2), "cannot be read as numbers and text"),
        (b"not a checkpoint", "cannot be read as numbers and text"),
        ({"mammo_run": "another", "epoch": 1}, "was not written by this run"),
        ([1, 2], "was not written by this run"),
    ],
    ids=["code", "noise", "of another run", "of nobody"],
)
def test_a_strangers_checkpoint_is_refused(
    tmp_path: Path, content: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "epoch-0001.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointForeign, match=f"{told}.*Remove the folder"):
        RunFolder(tmp_path, "key").epochs_done(path)
    assert "run by" not in capsys.readouterr().out


def test_a_run_is_held_by_one_process_and_goes_when_done(tmp_path: Path) -> None:
    with open_run(tmp_path, "k", {"config": {}}) as run:
        assert (run.path / "run.json").is_file()
        with pytest.raises(TrainingRunning, match="another process trains"):
            open_run(tmp_path, "k", {}).__enter__()
    assert not run.path.exists()
    with pytest.raises(ZeroDivisionError), open_run(tmp_path, "k", {}):
        raise ZeroDivisionError
    assert run.path.exists()  # what was reached is kept for the next try


@pytest.mark.parametrize("gone", [FINISHED, HISTORY])
def test_a_fit_of_which_a_file_is_gone_is_not_finished(tmp_path: Path, gone: str) -> None:
    run = RunFolder(tmp_path, "key")
    run.finish(torch.nn.Linear(1, 1), [{"train_loss": 1.0}])
    (tmp_path / gone).unlink()
    assert run.finished(torch.nn.Linear(1, 1)) is None


def test_a_run_killed_while_its_folder_goes_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the release is sealed: what is left is no fit of it, and goes with the next run."""

    def killed(folder: Path, **_: object) -> None:
        (folder / HISTORY).unlink()
        raise ZeroDivisionError

    net = torch.nn.Linear(1, 1)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("mammo.continual.checkpoints.shutil.rmtree", killed)
        with open_run(tmp_path, "k", {}) as run:
            run.finish(net, [{"train_loss": 1.0}])
    assert any(tmp_path.rglob(FINISHED))
    with open_run(tmp_path, "k", {}) as run:
        assert run.finished(net) is None
        run.finish(net, [{"train_loss": 1.0}])
    assert list(tmp_path.iterdir()) == []


def test_several_processes_may_finish_the_same_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them drops the checkpoints; that another did so before is no error."""
    run = RunFolder(tmp_path, "key")
    glob = Path.glob

    def dropped_meanwhile(self: Path, pattern: str) -> list[Path]:
        found = list(glob(self, pattern))
        for path in found:
            path.unlink()
        return found

    (tmp_path / "epoch-0001.ckpt").touch()
    monkeypatch.setattr(Path, "glob", dropped_meanwhile)
    run.finish(torch.nn.Linear(1, 1), [{"train_loss": 1.0}])
    assert run.finished(torch.nn.Linear(1, 1)) == [{"train_loss": 1.0}]


def test_every_fact_changes_the_key() -> None:
    facts = [
        {"config": {"seed": 1}},
        {"config": {"seed": 2}},
        {"config": {"seed": 1}, "focus": "a"},
    ]
    assert len({run_key(one) for one in facts}) == 3
    assert run_key(facts[0]) == run_key({"config": {"seed": 1}})


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ViewModule.training_step

    def broken(self: ViewModule, batch: tuple, number: int) -> torch.Tensor:
        loss = step(self, batch, number)
        if self.current_epoch != 2 or number != 1:
            return loss
        self._check_later(loss * torch.nan)
        return loss * torch.nan

    monkeypatch.setattr(ViewModule, "training_step", broken)
    monkeypatch.setattr(checkpoints, "MOST_TIME", EVERY_EPOCH)
    index = write_store(tmp_path / "store")
    net, _ = start_network(config())
    run = RunFolder(tmp_path / "run", "key")
    with pytest.raises(TrainingDiverged) as caught:
        fit_network(net, index, tmp_path / "store", config(epochs=5), run=run)
    message = caught.value.message
    assert "the loss became nan in epoch 3, step 10 at a learning rate of 0.00" in message
    assert "epoch-0002.ckpt" in message and caught.value.code == "TRAINING_DIVERGED"
    rescued = tmp_path / "run" / "epoch-0002.safetensors"
    assert str(rescued) in message
    again, _ = build_view_net("small_cnn", weights=rescued)
    assert all(bool(torch.isfinite(value).all()) for value in again.state_dict().values())
