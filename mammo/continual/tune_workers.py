"""Several workers of one study: processes that each take its next trial.

A worker that dies leaves its trial to the others, who fail it when its heartbeat
is stale and run it again. None outlives the process that started it: they all end
with it, also where it is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from mammo.continual.tune_states import count_trials
from mammo.continual.tune_study import Job, Progress, open_study, run_study
from mammo.errors import TuningStopped

POLL_S = 1.0


def run_workers(study: Any, job: Job, workers: int, progress: Progress | None = None) -> None:
    """Run a study's trials in so many processes; with one, in this.

    Raises TuningStopped where all of them ended with trials left to run.
    """
    if workers == 1:
        run_study(study, job, progress)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    started = [context.Process(target=_work, args=(job, workers)) for _ in range(workers)]
    for one in started:
        one.start()
    try:
        _wait(study, job, started, progress or (lambda done, total: None))
    finally:
        for one in started:
            one.terminate()  # those still there when this process is interrupted
            one.join()


def _wait(study: Any, job: Job, started: Sequence[BaseProcess], tell: Progress) -> None:
    while any(one.is_alive() for one in started):
        tell(count_trials(study), job.trials)
        time.sleep(POLL_S)
    ended = count_trials(study)
    tell(ended, job.trials)
    if ended < job.trials:
        codes = ", ".join(str(one.exitcode) for one in started)
        raise TuningStopped(
            f"all {len(started)} workers ended (exit status {codes}; -9 is killed, often for "
            f"memory) after {ended} of {job.trials} trials. What ended is kept: run the command "
            "again, with fewer --workers if memory was short"
        )


def _work(job: Job, workers: int) -> None:
    """Be a worker: the machine's cores are shared among them."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    run_study(open_study(job), job)


def _end_with_parent() -> None:
    """End this process when its parent has ended, by whatever signal; its trial is run again."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # a worker is started by one
    parent.join()
    os._exit(1)
