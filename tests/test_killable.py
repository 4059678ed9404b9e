"""What dies in a worker dies alone, and its future says how."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammo.errors import (
    DecoderCrashed,
    DecoderMemory,
    DecoderTimeout,
    NothingReadable,
    NotMammography,
)
from mammo.killable import PRELOAD, KillablePool, Limits

from . import killable_tasks as tasks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pool() -> Iterator[KillablePool]:
    with KillablePool(1, Limits(1.0, 200), preload=("numpy",)) as pool:
        yield pool


def children() -> set[int]:
    """Return this process' workers, zombies too."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = status.read_text().rsplit(")", 1)[1].split()
            command = (status.parent / "cmdline").read_bytes()
            if int(fields[1]) == os.getpid() and (b"killable_worker" in command or not command):
                found.add(int(status.parent.name))
    return found


def is_gone(process: int, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_results_come_back(pool: KillablePool) -> None:
    futures = [pool.submit(tasks.add, number, 1) for number in range(20)]
    assert [future.result() for future in futures] == list(range(1, 21))


def test_arrays_go_and_come_whole(pool: KillablePool) -> None:
    pixels = pool.submit(tasks.image, 300, 400).result()["pixels"]
    np.testing.assert_array_equal(pixels, tasks.image(300, 400)["pixels"])
    pixels[0, 0] = 7  # writable
    wanted = int(pixels.sum(dtype=np.int64)) + 1 + 3
    assert pool.submit(tasks.total, pixels, b"abc").result() == wanted
    assert pixels[0, 0] == 7


def test_a_large_result_is_quick(pool: KillablePool) -> None:
    pool.submit(tasks.image, 10, 10).result()
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        assert pool.submit(tasks.image, 3328, 3005).result()["pixels"].nbytes > 20e6
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 2  # 6 ms where nothing else runs


@pytest.mark.parametrize(
    ("task", "error", "text"),
    [
        (tasks.refuse, NotMammography, r"^Modality \(0008,0060\) is CT$"),
        (tasks.divide_by_zero, ZeroDivisionError, "division by zero"),
        (tasks.stubborn, RuntimeError, "Stubborn: 1 and 2"),
        (tasks.unpicklable, RuntimeError, "lambda|pickle"),
    ],
)
def test_exceptions_come_back(
    pool: KillablePool, task: Callable[[], object], error: type[Exception], text: str
) -> None:
    before = pool.submit(tasks.worker_id).result()
    if task is tasks.unpicklable:
        error = Exception
    with pytest.raises(error, match=text):
        pool.submit(task).result()
    assert pool.submit(tasks.worker_id).result() == before


def test_errors_of_mammo_keep_all_that_they_hold(pool: KillablePool) -> None:
    error = pool.submit(tasks.refuse_exam).exception()
    assert isinstance(error, NothingReadable)
    assert (error.code, error.refused) == ("NOTHING_READABLE", ({"file": "a"},))
    accident = pool.submit(tasks.divide_by_zero).exception()
    assert "killable_tasks.py" in "".join(accident.__notes__)


@pytest.mark.parametrize(
    ("task", "arguments", "error", "text"),
    [
        (tasks.segmentation_fault, (), DecoderCrashed, "died by SIGSEGV"),
        (tasks.abort, (), DecoderCrashed, "died by SIGABRT"),
        (tasks.leave, (3,), DecoderCrashed, "exited with 3"),
        (tasks.leave, (0,), DecoderCrashed, "exited with 0"),
        (tasks.leave_politely, (), DecoderCrashed, "exited with 3"),
        (tasks.babble, (), DecoderCrashed, "died by"),
        (tasks.hang, (), DecoderTimeout, "longer than the limit of 1 s"),
        (tasks.hang_in_c, (), DecoderTimeout, "longer than the limit of 1 s"),
        (tasks.hang_and_print, (), DecoderTimeout, "longer than the limit of 1 s"),
        (tasks.ignore_signals, (), DecoderTimeout, "longer than the limit of 1 s"),
        (tasks.hog_numpy, (), DecoderMemory, "limit of 200 MiB"),
        (tasks.hog_slowly, (), DecoderMemory, "limit of 200 MiB"),
        (tasks.hog_cpp, (), DecoderMemory, "limit of 200 MiB"),
        (tasks.codec_out_of_memory, (), DecoderMemory, "limit of 200 MiB"),
        (tasks.total, (np.zeros((1, 1)), bytes(2**28)), DecoderMemory, "limit of 200 MiB"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_dies_is_told_and_replaced(
    pool: KillablePool,
    capfd: pytest.CaptureFixture[str],
    task: Callable[..., object],
    arguments: tuple[object, ...],
    error: type[Exception],
    text: str,
) -> None:
    before, begun = pool.submit(tasks.worker_id).result(), time.monotonic()
    with pytest.raises(error, match=text) as caught:
        pool.submit(task, *arguments).result()
    assert type(caught.value) is error
    assert time.monotonic() - begun < 30  # not until the task ends by itself
    assert pool.submit(tasks.worker_id).result() != before
    assert capfd.readouterr() == ("", "")


def test_a_death_without_a_word_is_told_from_memory_by_its_size() -> None:
    """In a small process: a worker's largest size begins at that of its parent."""
    code = (
        "from mammo.killable import KillablePool, Limits\n"
        "from tests import killable_tasks as tasks\n"
        "with KillablePool(1, Limits(10.0, 200), preload=('numpy',)) as pool:\n"
        "    print(type(pool.submit(tasks.hog_c_then_abort).exception()).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["DecoderMemory"]


def test_what_a_worker_prints_reaches_nobody(
    pool: KillablePool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pool.submit(tasks.print_much, 1000).result() == 1000
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_worker_killed_while_idle_is_replaced_silently(
    pool: KillablePool, number: signal.Signals
) -> None:
    before = pool.submit(tasks.worker_id).result()
    os.kill(before, number)
    assert pool.submit(tasks.worker_id).result() != before


def test_a_worker_that_somebody_kills_at_work_fails_no_task(
    pool: KillablePool, tmp_path: Path
) -> None:
    """As the kernel does when another process has taken the memory."""
    note = tmp_path / "ids"
    future = pool.submit(tasks.sleep_at_first, str(note))
    while not note.exists() or not note.read_text().endswith(" "):
        time.sleep(0.01)
    os.kill(int(note.read_text()), signal.SIGKILL)
    assert future.result(timeout=30) == 2, "another worker did it"


def test_a_task_that_kills_its_worker_is_given_up(pool: KillablePool) -> None:
    with pytest.raises(DecoderCrashed, match="died by SIGKILL"):
        pool.submit(tasks.kill_worker).result(timeout=30)
    assert pool.submit(tasks.add, 1, 2).result() == 3


@pytest.mark.parametrize("memory_mb", [2048, 100], ids=["usual limit", "parent above the limit"])
def test_workers_killed_as_they_start_fail_no_task(
    monkeypatch: pytest.MonkeyPatch, memory_mb: int
) -> None:
    """The kernel counts the parent's size as that of a child that has not begun: no sign of it."""
    real, killed = subprocess.Popen, list[int]()

    def kill_two(*arguments: Any, **named: Any) -> Any:
        process = real(*arguments, **named)
        if len(killed) < 2:
            process.kill()
            killed.append(process.pid)
        return process

    monkeypatch.setattr(subprocess, "Popen", kill_two)
    with KillablePool(1, Limits(memory_mb=memory_mb), preload=()) as pool:
        assert pool.submit(tasks.add, 1, 2).result(timeout=30) == 3
    assert len(killed) == 2


def test_ctrl_c_is_the_parents(pool: KillablePool) -> None:
    before = pool.submit(tasks.worker_id).result()
    os.kill(before, signal.SIGINT)
    assert pool.submit(tasks.worker_id).result() == before


def test_a_worker_that_keeps_much_memory_retires(pool: KillablePool) -> None:
    before = pool.submit(tasks.leak, 20).result()
    assert before == pool.submit(tasks.leak, 60).result() != 0
    assert pool.submit(tasks.worker_id).result() != before


def test_map_keeps_the_order_and_looks_ahead_a_little() -> None:
    taken: list[int] = []

    def arguments() -> Iterator[tuple[int, int]]:
        for number in range(30):
            taken.append(number)
            yield number, 0

    with KillablePool(1, preload=()) as pool:
        results = pool.map(tasks.add, arguments())
        assert next(results).result() == 0
        assert len(taken) == 3
        assert [future.result() for future in results] == list(range(1, 30))


def test_two_processes_work_at_the_same_time(tmp_path: Path) -> None:
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    with KillablePool(2, preload=()) as pool:
        met = [f.result() for f in pool.map(tasks.meet, [(one, other), (other, one)])]
    assert met == [True, True]


def test_many_threads_may_submit() -> None:
    with KillablePool(2, preload=()) as pool, ThreadPoolExecutor(8) as threads:
        sums = threads.map(lambda n: pool.submit(tasks.add, n, n).result(), range(100))
        assert list(sums) == [2 * number for number in range(100)]


def test_what_was_cancelled_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with KillablePool(1, preload=()) as pool:
        pool.submit(tasks.sleep, 0.3)
        waiting = pool.submit(os.mkdir, str(mark))
        assert waiting.cancel()
        assert pool.submit(tasks.add, 1, 1).result() == 2
    assert waiting.cancelled()
    assert not mark.exists()


def test_close_leaves_no_process_and_no_thread() -> None:
    pool = KillablePool(2, preload=())
    processes = {future.result() for future in pool.map(tasks.worker_id, [()] * 8)}
    assert processes <= children()
    last = pool.submit(tasks.add, 1, 2)
    pool.close()
    pool.close()
    assert last.result() == 3
    assert not processes & children()
    assert not [t for t in pool._threads if t.is_alive()]
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(tasks.add, 1, 2)


def test_an_error_in_the_block_cancels_what_waits() -> None:
    with pytest.raises(KeyError), KillablePool(1, preload=()) as pool:
        running = pool.submit(tasks.sleep, 0.2)
        waiting = pool.submit(tasks.add, 1, 2)
        while not running.running():
            time.sleep(0.01)
        raise KeyError
    assert running.result()
    with pytest.raises(CancelledError):
        waiting.result()


def test_a_forgotten_pool_ends_its_workers() -> None:
    pool = KillablePool(1, preload=())
    worker, thread = pool.submit(tasks.worker_id).result(), pool._threads[0]
    del pool
    thread.join(5)
    assert not thread.is_alive()
    assert is_gone(worker)


@pytest.mark.parametrize("how", ["busy", "idle"])
def test_workers_die_with_their_parent(how: str) -> None:
    script = (
        "import sys, time, tests.killable_tasks as tasks\n"
        "from mammo.killable import KillablePool\n"
        "pool = KillablePool(1, preload=())\n"
        "print(pool.submit(tasks.worker_id).result(), flush=True)\n"
        f"{'pool.submit(tasks.hang)' if how == 'busy' else ''}\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as one:
        assert one.stdout is not None
        worker = int(one.stdout.readline())
        time.sleep(0.1)
        one.kill()
    assert is_gone(worker)


def test_a_program_that_ends_without_close_ends() -> None:
    script = (
        "import tests.killable_tasks as tasks\n"
        "from mammo.killable import KillablePool\n"
        "pool = KillablePool(2, preload=())\n"
        "print(pool.submit(tasks.worker_id).result())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=ROOT, text=True, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert is_gone(int(done.stdout))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_process_may_have_its_own_pool(method: str) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(1) as processes:
        assert processes.apply(tasks.pool_inside) == 5


def test_a_pool_does_not_survive_a_fork(pool: KillablePool) -> None:
    child = os.fork()
    if not child:
        try:
            pool.submit(tasks.add, 1, 2)
        except RuntimeError:
            os._exit(42)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_a_worker_that_cannot_start_says_why() -> None:
    with KillablePool(1, preload=("mammo.no_such_module",)) as pool:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no_such_module"):
                pool.submit(tasks.add, 1, 2).result()


def test_a_pool_outlives_that_no_process_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    with KillablePool(1, preload=()) as pool:
        worker = pool.submit(tasks.worker_id).result()
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", refuse)
            os.kill(worker, signal.SIGKILL)
            assert is_gone(worker)
            with pytest.raises(BlockingIOError):
                pool.submit(tasks.add, 1, 2).result()
        assert pool.submit(tasks.add, 1, 2).result() == 3


def test_no_process_is_no_pool() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        KillablePool(0)


def test_a_worker_is_ready_soon() -> None:
    begun = time.monotonic()
    with KillablePool(1, preload=PRELOAD) as pool:
        assert pool.submit(tasks.add, 1, 2).result() == 3
    assert time.monotonic() - begun < 60  # half a second where nothing else runs


def test_the_main_thread_is_free_while_a_worker_hangs(pool: KillablePool) -> None:
    future, beats = pool.submit(tasks.hang), 0
    while not future.done():
        time.sleep(0.05)
        beats += 1
    assert beats >= 10
    assert isinstance(future.exception(), DecoderTimeout)
    assert threading.active_count() >= 2
