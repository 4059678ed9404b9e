"""How well training keeps a GPU busy: the RSNA recipe on made-up prepared images.

    python -m benchmarks.gpu_training                     # 1024 x 512, writes gpu_training.json
    python -m benchmarks.gpu_training --config rsna_2048  # 2048 x 1024
    python -m benchmarks.gpu_training --tiny              # seconds, on a CPU: that it works

Three numbers, after warm-up. *Images per second* of whole training steps: read,
augment, forward, backward, optimizer, average. *Share of the card's matrix
throughput*: the FLOPs of forward and backward (counted by
``torch.utils.flop_counter``, a multiply and an add being two) against what a
bf16 product of large square matrices reaches on the same card, measured just
before. *Busy*: one minus the share of the time in which the card waited for the
loader. Each step is waited for, so that a wait is the loader's; without that
the next batch would come while the card still works, and the wait be shorter.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import describe_run
from mammo.continual.start import start_network
from mammo.continual.trainer import History, build_trainer, train_loader
from mammo.data.augment import build_augment
from mammo.data.dataset import ViewDataset
from mammo.data.draws import EpochDraws
from mammo.data.replay import sampling_weights
from mammo.data.shards import write_shard
from mammo.models.config import TrainConfig, read_config
from mammo.models.module import ViewModule

RESULTS = Path(__file__).with_name("gpu_training.json")
SHARD_IMAGES = 128
MATRIX_SIDE = 8192
WARM_UP = 10
STEPS = 60
AIM_BUSY = 0.9
TINY = {
    "architecture": "small_cnn", "pooling": "max", "drop_path": 0.0, "batch_size": 8,
    "workers": 0, "precision": "32", "preprocess": {"height": 128, "width": 64},
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What was measured; rates are per second, of whole training steps.

    ``gflop_per_image`` counts forward and backward; ``matrix_tflops`` is the
    measured product of matrices, ``share_of_matrix`` in [0, 1] what training
    reaches of it; ``busy`` in [0, 1].
    """

    device: str
    config: str
    height: int
    width: int
    batch_size: int
    workers: int
    precision: str
    steps: int
    images_per_s: float
    step_ms: float
    wait_ms: float
    busy: float
    gflop_per_image: float
    matrix_tflops: float
    share_of_matrix: float
    peak_memory_gb: float

    def table(self) -> str:
        """Return the numbers as Markdown."""
        shown = {
            "device": self.device,
            "recipe": f"{self.config}, {self.height} x {self.width}, batch {self.batch_size}, "
            f"{self.precision}, {self.workers} loader workers, {self.steps} steps",
            "images per second": f"{self.images_per_s:.1f}",
            "step": f"{self.step_ms:.1f} ms, of which {self.wait_ms:.1f} ms waiting for the loader",
            "busy (aim: above 90%)": f"{self.busy:.1%}",
            "work of an image, forward and backward": f"{self.gflop_per_image:.3g} GFLOP",
            "measured matrix throughput": f"{self.matrix_tflops:.1f} TFLOP/s",
            "share of it that training reaches": f"{self.share_of_matrix:.1%}",
            "most memory": f"{self.peak_memory_gb:.1f} GB",
        }
        rows = [f"| {name} | {value} |" for name, value in shown.items()]
        return "\n".join(["| | |", "|---|---|", *rows])


class Timing(lightning.Callback):
    """The time of each step, and how much of it passed before its batch was there."""

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self.synchronise = synchronise
        self.ended: float | None = None
        self.started = 0.0
        self.waits: list[float] = []
        self.steps: list[float] = []

    def on_train_batch_start(self, *args: Any) -> None:
        """Note that the batch is on the device."""
        self.synchronise()
        self.started = time.perf_counter()

    def on_train_batch_end(self, *args: Any) -> None:
        """Note that the step is done."""
        self.synchronise()
        now = time.perf_counter()
        if self.ended is not None:
            self.waits.append(self.started - self.ended)
            self.steps.append(now - self.ended)
        self.ended = now


def measure(config: TrainConfig, steps: int, warm_up: int, folder: Path) -> Measured:
    """Train ``warm_up`` and ``steps`` steps on made-up images in ``folder``; return the numbers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tflops = matrix_tflops(device, MATRIX_SIDE if device.type == "cuda" else 512)
    data = write_images(folder, config)
    net, _ = start_network(config)
    flop = flop_per_image(ViewModule(net, config, cached=False), config, device)
    timing = Timing(torch.cuda.synchronize if device.type == "cuda" else lambda: None)
    draws = (warm_up + steps + 1) * config.batch_size
    weights = sampling_weights(data.labels, np.zeros(len(data)), positive_share=0.125)
    repeated = Repeated(weights, data.labels, draws, config)
    trainer = build_trainer(config, [History(), timing])
    trainer.fit(ViewModule(net, config, cached=False), train_loader(data, repeated, config.workers))
    waits, times = (np.array(one[warm_up:]) for one in (timing.waits, timing.steps))
    rate = config.batch_size / float(times.mean())
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    return Measured(
        device=device_name(device), config=config.name, height=config.preprocess.height,
        width=config.preprocess.width, batch_size=config.batch_size, workers=config.workers,
        precision=config.precision, steps=len(times), images_per_s=rate,
        step_ms=1000 * float(times.mean()), wait_ms=1000 * float(waits.mean()),
        busy=1 - float(waits.sum() / times.sum()), gflop_per_image=flop / 1e9,
        matrix_tflops=tflops, share_of_matrix=flop * rate / (tflops * 1e12), peak_memory_gb=peak,
    )  # fmt: skip


class Repeated(EpochDraws):
    """One long epoch: as many draws as are to be measured, from however few images."""

    def __init__(
        self, weights: np.ndarray, labels: np.ndarray, draws: int, config: TrainConfig
    ) -> None:
        times = -(-draws // len(weights))
        super().__init__(
            np.tile(weights, times) / times, np.tile(labels, times),
            batch_size=config.batch_size, seed=config.seed, drop_last=True,
            positive_share=config.positive_share if config.sampler == "per_batch" else None,
        )  # fmt: skip
        self.images, self.draws = len(weights), draws

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of the images that there are."""
        items, seeds = super().draw()
        return items % self.images, seeds

    def _batches(self) -> int:
        return self.draws // self.batch_size


def matrix_tflops(device: torch.device, side: int) -> float:
    """Return the rate of products of square bf16 matrices, in TFLOP/s: the best of five rounds."""
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    rounds = []
    for _ in range(6):  # the first warms up
        wait()
        started = time.perf_counter()
        for _ in range(10):
            one @ other
        wait()
        rounds.append((time.perf_counter() - started) / 10)
    return 2 * side**3 / min(rounds[1:]) / 1e12


def flop_per_image(module: ViewModule, config: TrainConfig, device: torch.device) -> float:
    """Return FLOPs of forward and backward for one image, counted on a batch of two."""
    size = (2, 1, config.preprocess.height, config.preprocess.width)
    module.net.to(device).train()
    counter = FlopCounterMode(display=False)
    with counter:
        module(torch.rand(size, device=device)).sum().backward()
    module.net.zero_grad()
    return counter.get_total_flops() / 2


def write_images(folder: Path, config: TrainConfig) -> ViewDataset:
    """Write shards of smooth noise in a half-ellipse; return the data set that trains on them."""
    height, width = config.preprocess.height, config.preprocess.width
    y, x = np.mgrid[0:height, 0:width]
    inside = ((y - height / 2) / (0.45 * height)) ** 2 + (x / (0.8 * width)) ** 2 < 1
    rng = np.random.default_rng(0)
    images = [
        (inside * rng.integers(15_000, 50_000, (height, width))).astype(np.uint16)
        for _ in range(min(SHARD_IMAGES, 4 * config.batch_size))
    ]
    write_shard(folder, "made-up", images)
    count = len(images)
    index = pd.DataFrame(
        {
            "cancer": pd.array((np.arange(count) % 8 == 0).astype(int), "Int8"),
            "shard": "made-up",
            "shard_row": range(count),
        }
    )
    augment = build_augment(config.seed, config.augment)
    return ViewDataset(index, folder, config.preprocess, target="cancer", augment=augment)


def device_name(device: torch.device) -> str:
    """Return the card's name, or that there is none."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "no GPU: CPU"


def settle(name: str, *, tiny: bool, workers: int | None, batch_size: int | None) -> TrainConfig:
    """Return the recipe as it is measured: one epoch, nothing watched, random weights."""
    config = read_config(name)
    changes: dict[str, Any] = TINY if tiny else {}
    data = config.to_dict() | changes
    given = {"workers": workers, "batch_size": batch_size}
    data |= {key: value for key, value in given.items() if value is not None}
    return replace(
        TrainConfig.from_dict(data), epochs=1, monitor="none", pretrained=False, name=name
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and write the JSON; status 1 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="rsna")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--tiny", action="store_true", help="A small net, on whatever is here.")
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available() and not asked.tiny:
        print("There is no GPU here, so nothing was measured. Run this on a machine with one, "
              "or with --tiny to see that it works.")  # fmt: skip
        return 1
    config = settle(
        asked.config, tiny=asked.tiny, workers=asked.workers, batch_size=asked.batch_size
    )
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(config, asked.steps, min(WARM_UP, asked.steps), Path(folder))
    print(measured.table())
    if not asked.tiny and measured.busy < AIM_BUSY:
        print(f"\nThe card waits: raise --workers ({config.workers}), or look at the disk.")
    out = asked.out or (None if asked.tiny else RESULTS)
    if out is not None:
        run = describe_run("made-up prepared images", asked.steps) | asdict(measured)
        out.write_text(json.dumps(run, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
