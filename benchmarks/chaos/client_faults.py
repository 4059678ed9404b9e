"""Faults of clients: those that send slowly, half, or leave before the answer."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from benchmarks.chaos.exams import SmallExam
from benchmarks.chaos.fault import Bench, Fault, count
from benchmarks.chaos.load import Sent
from benchmarks.chaos.page import spell

BOUNDARY = "chaos"


def raw_request(exam: SmallExam, key: str) -> bytes:
    """Return a whole multipart request as it goes over the wire."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{place}.dcm"'
        "\r\nContent-Type: application/dicom\r\n\r\n".encode()
        + data
        + b"\r\n"
        for place, data in enumerate(exam.files)
    ]
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    head = (
        "POST /v1/exams HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\nIdempotency-Key: {key}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def connect(bench: Bench, timeout_s: float = 90.0) -> socket.socket:
    """Open a bare connection to the service."""
    address = (bench.served.settings.host, bench.served.settings.service_port)
    return socket.create_connection(address, timeout=timeout_s)


def status_of(connection: socket.socket) -> str:
    """Read the answer's status; "closed" where the service hung up, "silent" where none came."""
    try:
        line = connection.makefile("rb").readline()
    except TimeoutError:
        return "silent"
    except OSError:
        return "closed"
    return line.split()[1].decode() if line else "closed"


def half_sent(bench: Bench, exams: int = 5) -> Fault:
    """Send half of a body and hang up, or say that no more comes; then send it whole."""
    cut, ended = ([bench.new() for _ in range(exams)] for _ in range(2))
    for one in cut:
        with closing(connect(bench)) as connection:
            connection.sendall(_half(one))
    said = []
    for one in ended:
        with closing(connect(bench)) as connection:
            connection.sendall(_half(one))
            connection.shutdown(socket.SHUT_WR)
            said.append(status_of(connection))
    time.sleep(1)  # what would be scored by mistake is logged by then
    logged = sum(bench.logged(one) for one in cut + ended)
    whole = [bench.send(one) for one in cut + ended]
    books = bench.books()
    return Fault(
        "half-sent body",
        f"{exams} clients hang up after half of the body, {exams} end it there",
        f"the second kind sees {count(said)}; {logged} logged; sent whole: {count(whole)}",
        {
            "nothing of a half is logged": logged == 0,
            "a half is answered with 400 or by hanging up": set(said) <= {"400", "closed"},
            "sent whole it is answered": set(whole) == {"200"},
            "books": books.balance,
        },
        {"books": books.to_json()},
    )


def _half(one: Sent) -> bytes:
    request = raw_request(one.exam, one.key)
    return request[: len(request) // 2]


def client_leaves(bench: Bench, exams: int = 10) -> Fault:
    """Send whole exams and hang up before the answer; then send them again."""
    left = [bench.new() for _ in range(exams)]
    for place, one in enumerate(left):
        with closing(connect(bench)) as connection:
            connection.sendall(raw_request(one.exam, one.key))
            time.sleep(0.004 * place)  # at a different moment of reading and scoring
    again = [bench.send(one) for one in left]
    books = bench.books()
    return Fault(
        "client leaves before the answer",
        f"{exams} clients hang up 0 to {4 * (exams - 1)} ms after the last byte, and come again",
        f"sent again: {count(again)}; logged twice: {books.twice}",
        {"answered when they come again": set(again) == {"200"}, "books": books.balance},
        {"books": books.to_json()},
    )


def same_key_at_once(bench: Bench, exams: int = 4, clients: int = 3) -> Fault:
    """Send each exam from several connections at the same moment, under one key."""
    statuses = list[str]()
    with ThreadPoolExecutor(clients) as pool:
        for one in [bench.new() for _ in range(exams)]:
            statuses += pool.map(bench.send, [one] * clients)
    books = bench.books()
    return Fault(
        "one key at once",
        f"{clients} connections send the same exam under one key at the same moment",
        f"{count(statuses)}; logged twice: {books.twice}; different answers: {books.changed}",
        {"all are answered": set(statuses) == {"200"}, "books": books.balance},
        {"books": books.to_json()},
    )


def same_job_at_once(bench: Bench, exams: int = 3, clients: int = 4) -> Fault:
    """Ask at the same moment, under one key, that an exam be scored later; wait for the jobs."""
    with ThreadPoolExecutor(clients) as pool:
        for sent in [bench.new() for _ in range(exams)]:
            asked = list(
                pool.map(lambda one: bench.client.submit(one.exam, one.key), [sent] * clients)
            )
            sent.attempts += [status for status, _ in asked]
            bench.client.wait_for(sent, {str(job.get("id")) for _, job in asked})
    accepted = Counter(status for one in bench.sent[-exams:] for status in one.attempts)
    books = bench.books()
    return Fault(
        "one job at once",
        f"{clients} connections ask for the same exam, to be scored later, under one key",
        f"{spell(dict(accepted))}; logged twice: {books.twice}",
        {
            "all are accepted": set(accepted) == {"202", "job done"},
            "one job each": accepted["job done"] == exams,
            "books": books.balance,
        },
        {"books": books.to_json()},
    )


@contextmanager
def slow_clients(bench: Bench, clients: int) -> Iterator[list[str]]:
    """Hold so many connections that send one byte a second; gives the statuses they got."""
    stop, seen = threading.Event(), list[str]()
    exam = bench.maker.make(10**7)
    request = raw_request(exam, "slow")[:2000]

    def drip() -> None:
        with closing(connect(bench)) as connection:
            connection.sendall(request[:400])
            connection.settimeout(1.0)
            for place in range(400, len(request)):
                connection.send(request[place : place + 1])
                if (status := status_of(connection)) != "silent":
                    seen.append(status)
                    return
                if stop.is_set():
                    return

    threads = [threading.Thread(target=_quiet, args=(drip, seen)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _quiet(drip: object, seen: list[str]) -> None:
    try:
        drip()  # type: ignore[operator]
    except OSError:
        seen.append("closed")


def slow_client(
    bench: Bench, clients: int = 40, exams: int = 10, patience_s: float = 45.0
) -> Fault:
    """Let clients drip a byte a second while others are served."""
    alone = _seconds_each(bench, exams)
    with slow_clients(bench, clients) as seen:
        time.sleep(2)
        beside = _seconds_each(bench, exams)
        deadline = time.monotonic() + patience_s
        while len(seen) < clients and time.monotonic() < deadline:
            time.sleep(0.5)
        told = list(seen)
    books = bench.books()
    return Fault(
        "slow clients",
        f"{clients} clients send a byte a second",
        f"others: {beside * 1000:.0f} ms an exam beside them, {alone * 1000:.0f} ms without; "
        f"the slow ones: {count(told)}",
        {
            "others are served": beside < 3 * alone + 0.5,
            "the slow are told 408": len(told) == clients and set(told) == {"408"},
            "books": books.balance,
        },
        {"alone_s": alone, "beside_s": beside, "books": books.to_json()},
    )


def _seconds_each(bench: Bench, exams: int) -> float:
    """Return the median seconds of exams that must be answered."""
    seconds = []
    for _ in range(exams):
        started = time.monotonic()
        status = bench.send(bench.new())
        if status != "200":
            raise RuntimeError(f"an exam beside slow clients got {status}")
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)
