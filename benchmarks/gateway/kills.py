"""Kill the gateway at random under load: what was acknowledged is there, nothing came twice.

Senders send studies of four small images, each image under its UID again and again until
it is acknowledged. Meanwhile the process is killed with SIGKILL and started again. After
the last kill everything has time to settle, and the books are compared: what the senders
were told, what is on the disk, what was scored, and what the archive got.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.events import Event

from benchmarks.gateway.running import Running, running, wait_until
from bentos.gateway.book import Book
from bentos.gateway.outbox import Outbox
from bentos.gateway.tables import reading
from flows.servers import free_port
from mammo.dicom.deidentify import pseudonym
from mammo.settings import Settings
from tests.gateway.images import associate, dataset_of, image
from tests.gateway.pacs import Pacs
from tests.gateway.serving import served

SENDERS = 4
SETTLE_SECONDS = 1800.0
PACE_SECONDS = 3.0
"""Mean pause of a sender between studies: their documents must be written in the end, too."""
PEERS = """peers:
  - {{name: archive, ae_title: PACS, host: 127.0.0.1, port: {port}, may_send: true,
     receives: [cad, report, marks]}}
  - {{name: sender, ae_title: SENDER, host: 127.0.0.1, may_send: true}}
"""


class Archive(Pacs):
    """A PACS that finds in any study, and keeps the content of what it got."""

    def _find(self, event: Event) -> Any:
        self.asked += 1
        asked = event.identifier
        if asked.SOPInstanceUID in self.received:
            yield 0xFF00, asked


@dataclass
class Sender:
    """Sends studies until it is told to stop; knows which images were acknowledged."""

    settings: Settings
    seed: str
    acknowledged: list[str] = field(default_factory=list)
    studies: int = 0
    attempts: int = 0

    def run(self, stop: threading.Event) -> None:
        """Send study after study; one that was begun is sent whole."""
        draw = random.Random(self.seed)
        while not stop.wait(draw.uniform(0.0, 2 * PACE_SECONDS)):
            study = generate_uid(entropy_srcs=[self.seed, str(self.studies)])
            self.studies += 1
            for number in (1, 2, 3, 4):
                self._until_acknowledged(dataset_of(image(number, study=str(study)[:60])))

    def _until_acknowledged(self, one: Dataset) -> None:
        while True:
            self.attempts += 1
            association = associate(self.settings.dicom_port)
            if association.is_established:
                status = association.send_c_store(one)
                if status.get("Status") == 0x0000:
                    association.release()
                    self.acknowledged.append(str(one.SOPInstanceUID))
                    return
                association.abort()
            time.sleep(0.1)


@dataclass(frozen=True)
class Kills:
    """What was killed, sent and found; see `passed`."""

    kills: int
    seconds: float
    attempts: int
    acknowledged: int
    lost: int
    studies: int
    scored: int
    documents: int
    missing: int
    twice: int
    asked: int
    incidents: int

    @property
    def passed(self) -> bool:
        """True when nothing acknowledged is lost, and each document came once."""
        wrong = (self.lost, self.missing, self.twice, self.incidents)
        return not any(wrong) and self.scored == self.studies


def run_kills(folder: Path, kills: int, *, pause_s: float = 2.0, seed: int = 1) -> Kills:
    """Serve, send, kill, let it settle, and compare."""
    archive, draw = Archive(), random.Random(seed)
    settings = _make_home(folder, archive.port)
    with served(settings, settings.service_port), running(settings) as gateway:
        senders = [Sender(settings, f"{seed} {number}") for number in range(SENDERS)]
        stop, started = threading.Event(), time.monotonic()
        threads = [threading.Thread(target=one.run, args=(stop,)) for one in senders]
        for one in threads:
            one.start()
        for _ in range(kills):
            time.sleep(draw.expovariate(1 / pause_s))
            gateway.kill()
            gateway.start()
        stop.set()
        for one in threads:
            one.join()
        seconds = time.monotonic() - started
        wait_until(lambda: _is_settled(settings), SETTLE_SECONDS)
        return _compare(settings, archive, senders, gateway, seconds)


def _make_home(folder: Path, archive_port: int) -> Settings:
    settings = Settings(
        home=folder / "home",
        dicom_port=free_port(),
        service_port=free_port(),
        dicom_quiet_seconds=2.0,
        dicom_free_mb=100,
        image_days=0,
        _env_file=None,
    )
    settings.home.mkdir(parents=True)
    peers = settings.home / "peers.yaml"
    peers.write_text(PEERS.format(port=archive_port))
    peers.chmod(0o600)
    return settings


def _is_settled(settings: Settings) -> bool:
    counts = Book(settings.gateway_book).counts()
    if any(counts[state] for state in ("receiving", "waiting", "scoring")):
        return False
    with reading(settings.gateway_book) as book:
        assert book is not None
        late = book.execute("SELECT 1 FROM studies WHERE reported < version").fetchone()
    outbox = Outbox(settings)
    open_ones = [outbox.deliveries(state=state, limit=1) for state in ("waiting", "sending")]
    return late is None and not any(open_ones)


def _compare(
    settings: Settings, archive: Archive, senders: list[Sender], gateway: Running, seconds: float
) -> Kills:
    key, inbox = settings.pseudonym_key(), settings.gateway_dir / "inbox"
    acknowledged = [uid for one in senders for uid in one.acknowledged]
    with reading(settings.gateway_book) as book:
        assert book is not None
        files = dict(book.execute("SELECT key, file FROM images").fetchall())
        (scored,) = book.execute(
            "SELECT count(*) FROM studies s JOIN scorings c ON c.study = s.key AND"
            " c.version = s.version WHERE s.state = 'scored' AND c.images = 4"
        ).fetchone()
        wanted = [
            row["sop_instance"]
            for row in book.execute("SELECT sop_instance FROM deliveries WHERE state != 'replaced'")
        ]
    there = [files.get(pseudonym(key, "image", uid)) for uid in acknowledged]
    lost = sum(name is None or not (inbox / name).is_file() for name in there)
    got = Counter(archive.received)
    return Kills(
        kills=gateway.starts - 1,
        seconds=seconds,
        attempts=sum(one.attempts for one in senders),
        acknowledged=len(acknowledged),
        lost=lost,
        studies=sum(one.studies for one in senders),
        scored=scored,
        documents=len(got),
        missing=len(set(wanted) - set(got)),
        twice=sum(count > 1 for count in got.values()),
        asked=archive.asked,
        incidents=Book(settings.gateway_book).counts()["incident"],
    )
