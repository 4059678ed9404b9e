"""What a fault did: said in words, with the numbers, and whether it was borne as promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.chaos.books import Books, check_books, read_answers
from benchmarks.chaos.exams import ExamMaker
from benchmarks.chaos.load import Client, Sent
from benchmarks.chaos.page import spell
from benchmarks.chaos.served import Served
from mammo.prediction_log.spool import Spool


@dataclass(frozen=True)
class Fault:
    """One fault: what was done, what was seen, and what had to be true.

    ``demands`` maps each demand, in words, to whether it was met.
    """

    name: str
    done: str
    seen: str
    demands: dict[str, bool]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True when every demand was met."""
        return all(self.demands.values())

    @property
    def broken(self) -> list[str]:
        """The demands that were not met."""
        return [words for words, met in self.demands.items() if not met]


class Bench:
    """One client in front of a service, that numbers its exams and keeps what it sent."""

    def __init__(self, served: Served, timeout_s: float = 60.0) -> None:
        self.served, self.sent, self.ignored = served, list[Sent](), set[str]()
        self.client = Client(served.url, timeout_s=timeout_s)
        self.maker = ExamMaker(served.settings.pseudonym_key())

    def new(self) -> Sent:
        """Note the next exam as sent."""
        number = len(self.sent)
        self.sent.append(Sent(self.maker.make(number), f"fault-{number}"))
        return self.sent[-1]

    def send(self, sent: Sent) -> str:
        """Send an exam (again) under its key; return the status."""
        status, body = self.client.send(sent.exam, sent.key)
        sent.attempts.append(status)
        if status == "200" and sent.answer is None:
            sent.answer = body
        elif status == "200":
            sent.replays.append(body)
        return status

    def try_new(self, count: int) -> list[str]:
        """Send so many new exams once each; return the statuses."""
        return [self.send(self.new()) for _ in range(count)]

    def send_all_again(self) -> list[str]:
        """Send every exam again under its key, whether it was answered or not."""
        return [self.send(one) for one in self.sent]

    def logged(self, sent: Sent) -> int:
        """Return how often the exam's answer is in the log."""
        rows = read_answers(self.served.settings.log_url)
        return int(((rows["exam_id"] == sent.exam.exam_id) & (rows["level"] == "exam")).sum())

    def in_order(self, sent: Sequence[Sent]) -> bool:
        """True where these, as far as they were answered, are logged in the order given."""
        rows = read_answers(self.served.settings.log_url)
        wanted = [one.exam.exam_id for one in sent if one.answer is not None]
        ours = (rows["level"] == "exam") & rows["exam_id"].isin(wanted)
        return list(rows.loc[ours, "exam_id"]) == wanted

    def books(self) -> Books:
        """Check the books of all that was sent; the log must be at rest."""
        return check_books(self.sent, self.served.settings.log_url, self.ignored)

    def spooled(self) -> int:
        """Return how many predictions wait in the spool."""
        return Spool(self.served.settings.spool_dir).waiting

    def get(self, path: str) -> httpx.Response:
        """GET a path."""
        return httpx.get(f"{self.served.url}{path}", timeout=30)


def count(statuses: Sequence[str]) -> str:
    """Return statuses as words, such as ``200: 3, 507: 2``."""
    return spell(dict(sorted(Counter(statuses).items())))
