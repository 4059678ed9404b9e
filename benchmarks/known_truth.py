"""How much of what can be known a trained model knows: docs/known_truth.md.

    python -m benchmarks.known_truth [--sizes 500 2000 8000 32000] [--models baseline_cnn ...]

Draws fields whose ideal observer is known (`mammo.evaluation.known_truth`),
trains every model on the first N of them through the pipeline that trains a
release (`mammo.continual.known_truth`), and writes `known_truth.json`. Runs that
are in it already are not done again; the page and its picture are made by
`python -m benchmarks.known_truth_report`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import name_run
from mammo.continual.known_truth import (
    FieldStore,
    config_for,
    judge,
    train_and_score,
    write_fields,
)
from mammo.evaluation.known_truth import LesionTask
from mammo.evaluation.metrics import roc_auc
from mammo.models.config import TrainConfig

RESULTS = Path(__file__).with_name("known_truth.json")
TASK = LesionTask()
SIZES = (500, 2000, 8000, 32000)
TRAIN_SEED, TEST_SEED, IDEAL_SEED = 1, 2, 3
TEST_IMAGES, IDEAL_IMAGES = 6000, 60000
MODELS: dict[str, dict[str, Any]] = {
    "baseline_cnn": {"learning_rate": 2e-3, "precision": "bf16-mixed"},
    # depth-wise convolutions are slower in bfloat16 than in float32 on a CPU
    "tf_efficientnet_lite0": {"pretrained": True, "learning_rate": 1e-4, "precision": "32"},
}
"""What differs between the models of the study; the rest is in `config_of`."""
DRAWS = {500: 15_000, 2000: 16_000, 8000: 48_000}
MOST_DRAWS = 64_000
"""How many images a fit draws, mirrored or not, over all of its epochs."""
Tell = Callable[[int, int], None]


def config_of(model: str, size: int, draws: int | None = None) -> TrainConfig:
    """Return the configuration of a fit to ``size`` images."""
    wanted = min(DRAWS.get(size, MOST_DRAWS), draws or MOST_DRAWS)
    return config_for(
        TASK,
        architecture=model,
        epochs=max(1, round(wanted / size)),
        batch_size=16 if size < 2000 else 32 if size < 8000 else 64,
        channels_last=True,
        **MODELS[model],
    )


def run(
    config: TrainConfig, size: int, train: FieldStore, test: FieldStore, work: Path
) -> dict[str, Any]:
    """Train a model on the first ``size`` images and judge it; returns a row of the results."""
    model = config.architecture
    wall, cpu = time.perf_counter(), time.process_time()
    with bar(f"{model} {size}") as tell:
        scores = train_and_score(
            config, train.index.iloc[:size], train.shards_dir, test, work, progress=tell
        )
    row = {
        "model": model,
        "size": size,
        "epochs": config.epochs,
        "wall_s": round(time.perf_counter() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "config": config.to_dict(),
    }
    return row | {name: value.to_dict() for name, value in judge(test, scores).items()}


def ideal_alone() -> dict[str, Any]:
    """Return the ideal observer's AUC on images that nothing else saw, with its standard error."""
    aucs = []
    for number in range(10):
        drawn = TASK.draw(IDEAL_IMAGES // 10, (IDEAL_SEED, number))
        aucs.append(roc_auc(drawn.labels, TASK.log_likelihood_ratio(drawn.images)))
    error = float(np.std(aucs, ddof=1) / np.sqrt(len(aucs)))
    return {"images": IDEAL_IMAGES, "auc": float(np.mean(aucs)), "standard_error": error}


@contextmanager
def bar(title: str) -> Iterator[Tell]:
    """Show a progress bar; yields a call of (done, total)."""
    from rich.progress import Progress, TimeElapsedColumn

    with Progress(*Progress.get_default_columns(), TimeElapsedColumn()) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def read_results() -> dict[str, Any]:
    """Return what was measured; runs of another task are not taken over."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if kept.get("task") != TASK.to_dict():
        return {"task": TASK.to_dict(), "runs": []}
    return dict(kept)


def main() -> None:
    """Run the study, from where it was left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--home", type=Path, default=Path("known_truth"), help="for the images")
    parser.add_argument("--draws", type=int, help="at most, of a fit: where there is less time")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = read_results()
    with bar("images to train on") as tell:
        train = write_fields(
            TASK, max(options.sizes), options.home / "train", seed=TRAIN_SEED, progress=tell
        )
    test = write_fields(TASK, TEST_IMAGES, options.home / "test", seed=TEST_SEED)
    if len(train.index) < max(options.sizes):
        parser.error(f"{options.home} holds {len(train.index)} images: name another --home")
    if "ideal" not in results:
        results["ideal"] = ideal_alone()
    done = {(row["model"], row["size"]) for row in results["runs"]}
    for size in sorted(options.sizes):
        for model in options.models:
            if (model, size) not in done:
                work = options.home / f"{model}-{size}"
                config = config_of(model, size, options.draws)
                results["runs"].append(run(config, size, train, test, work))
                results["run"] = name_run("python -m benchmarks.known_truth")
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
