"""Keeps the images of exams that were answered; nobody waits for it, nothing fails by it.

An answer hands its files over and goes. They are written to the disk as they are
(`mammo.waiting_images`), so that no kill loses them, and made into what a viewer needs
(`mammo.viewable`) in one process of lower priority that may die.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

from mammo.errors import MammoError, ReadError
from mammo.kept_images import ImageStore
from mammo.killable import KillablePool
from mammo.reading import read_limits
from mammo.settings import Settings
from mammo.viewable import Viewable, make_viewable
from mammo.waiting_images import WaitingExam, WaitingImages

LOOK_SECONDS = 5.0
"""How often an idle worker looks for exams that a dead one has left."""
CLOSE_SECONDS = 10.0
NICENESS = 5
"""Of the process that makes images: a reader waits for them, and a caller for answers more.
The thread keeps its priority: one that is put off while it holds Python's lock stops all."""
PRELOAD = ("mammo.viewable",)
_log = logging.getLogger("mammo.service")


@dataclass(frozen=True)
class _Offered:
    request_id: str
    exam_id: str
    files: Sequence[bytes]

    @property
    def size_bytes(self) -> int:
        return sum(len(one) for one in self.files)


class _Stopped(Exception):
    """The worker ends; what waits stays."""


class ImageKeeper:
    """One thread, and one process of lower priority; see the module.

    Parameters
    ----------
    settings
        Where MAMMO_IMAGE_DAYS is 0 nothing is kept and no thread starts.
    store
        Where the images go.
    count_lost
        Called with 1 for each exam whose images are not kept, for the metrics.
    """

    def __init__(
        self, settings: Settings, store: ImageStore, count_lost: Callable[[float], object]
    ) -> None:
        self.settings, self.store = settings, store
        self.waiting = WaitingImages(settings.images_dir / "waiting")
        self._count_lost = count_lost
        self._offered: deque[_Offered] = deque()
        self._held_bytes = 0
        self._lock, self._woken = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._pool: KillablePool | None = None
        self._task: Future[Viewable] | None = None
        self._closed = False

    @property
    def keeps(self) -> bool:
        """False where no images are kept at all."""
        return self.settings.kept_image_days > 0

    def start(self) -> None:
        """Begin to work, and to look for what a killed worker has left."""
        if self.keeps and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="images", daemon=True)
            self._thread.start()

    def offer(self, request_id: str, exam_id: str, files: Sequence[bytes]) -> None:
        """Hand over the files of an answered exam; never waits and never raises.

        Above MAMMO_QUEUE_MB in memory the images are lost, and counted.
        """
        if not self.keeps:
            return
        one = _Offered(request_id, exam_id, files)
        with self._lock:
            fits = self._held_bytes + one.size_bytes <= self.settings.queue_mb * 2**20
            if fits and not self._closed:
                self._offered.append(one)
                self._held_bytes += one.size_bytes
        if not fits or self._closed:
            self._lose("too many files wait in memory")
        self._woken.set()

    def expects(self, request_id: str) -> bool:
        """True while the images of a request are still being made, by whatever worker."""
        with self._lock:
            mine = any(one.request_id == request_id for one in self._offered)
        return mine or self.waiting.holds(request_id)

    def close(self) -> None:
        """Write what was handed over to the disk, and stop; another start goes on with it."""
        self._closed = True
        self._woken.set()
        if self._pool is not None and self._task is not None:
            self._pool.abandon(self._task)
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
        if self._pool is not None:
            self._pool.close(cancel=True)

    def sweep(self) -> None:
        """Remove images past their days, and drafts of the dead."""
        self.store.sweep()
        self.waiting.sweep()

    def _run(self) -> None:
        while not self._closed:
            self._woken.clear()
            try:
                while self._write_down() or (not self._closed and self._keep_one()):
                    continue
            except Exception as error:  # noqa: BLE001 - the next exam's images must be kept
                _log.error("images: %s", type(error).__name__)
            self._woken.wait(LOOK_SECONDS)
        self._write_down()

    def _write_down(self) -> bool:
        """Let what is in memory wait on the disk; True where there was something."""
        written = False
        while self._offered:
            one = self._offered[0]
            try:
                self.waiting.add(one.request_id, one.exam_id, one.files)
            except MammoError as error:
                self._lose(error.message)
            with self._lock:  # until now `expects` has found it here
                self._offered.popleft()
                self._held_bytes -= one.size_bytes
            written = True
        return written

    def _keep_one(self) -> bool:
        """Keep the images of the oldest exam that waits; False where none does."""
        with self.waiting.take() as exam:
            if exam is None:
                return False
            try:
                images = self._make(exam)
                if images:
                    self.store.keep(exam.request_id, exam.exam_id, images)
            except _Stopped:  # the next start goes on with it
                return False
            except MammoError as error:
                self._lose(error.code)
            except Exception as error:  # noqa: BLE001 - it must not come again for ever
                self._lose(type(error).__name__)
            exam.remove()
        return True

    def _make(self, exam: WaitingExam) -> list[Viewable]:
        """Return the images of an exam; files that are none were refused with the answer."""
        found: dict[str, Viewable] = {}
        for data in exam.files():
            image = self._make_one(data)
            if image is not None:
                found.setdefault(image.image_id, image)
            self._write_down()
        return list(found.values())

    def _make_one(self, data: bytes) -> Viewable | None:
        key, most = self.settings.pseudonym_key(), self.settings.max_file_mb * 2**20
        if self._pool is None:
            self._pool = KillablePool(1, read_limits(self.settings), PRELOAD)
        if not self._closed:
            self._task = self._pool.submit(make_viewable, data, key, most, NICENESS)
            try:
                return self._task.result()
            except (ReadError, CancelledError):
                if not self._closed:
                    return None
        raise _Stopped

    def _lose(self, why: str) -> None:
        self._count_lost(1)
        _log.error("the images of an exam are not kept: %s", why)
