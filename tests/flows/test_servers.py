"""Which ports servers of drills and tests get: free ones, and each only once."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterable, Iterator

import pytest

from flows import servers
from flows.servers import HOST, free_port


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


def test_no_port_is_given_twice_nor_one_that_is_taken(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = free_port(), free_port()
    monkeypatch.setattr(servers, "_given", set())
    candidates = iter([taken, first, first, taken, second])
    monkeypatch.setattr(servers, "candidates", candidates)
    assert [free_port(), free_port()] == [first, second]
    with pytest.raises(OSError, match="every port that may be given"):
        free_port()


def test_the_system_s_own_choice_is_given_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "candidates", itertools.repeat(0))
    ports = [free_port() for _ in range(50)]
    assert len({*ports}) == 50 and min(ports) > 0


@pytest.mark.parametrize(
    ("candidates", "code"),
    [
        (itertools.repeat(0), errno.EMFILE),
        (itertools.repeat(0), errno.EADDRINUSE),  # the system itself has none left
        (itertools.repeat(0), errno.EACCES),
        (range(20000, 20003), errno.EMFILE),  # no fault of the port: the next has it, too
    ],
)
def test_where_the_system_gives_no_port_it_says_so(
    candidates: Iterable[int], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def refuse(*_: object) -> None:
        nonlocal asked
        asked += 1
        assert asked < 10, "it asks for ever"
        raise OSError(code, "refused")

    monkeypatch.setattr(servers, "candidates", iter(candidates))
    monkeypatch.setattr("flows.servers.socket.create_server", refuse)
    with pytest.raises(OSError, match="refused") as told:
        free_port()
    assert told.value.errno == code


@pytest.mark.parametrize("code", [errno.EADDRINUSE, errno.EACCES])
def test_a_port_that_may_not_be_had_is_passed_over(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(servers, "candidates", iter([80, 443]))
    monkeypatch.setattr("flows.servers.socket.create_server", refuse)
    with pytest.raises(OSError, match="every port that may be given"):
        free_port()


def test_the_tests_have_ports_of_their_own(own_ports: range) -> None:
    assert free_port() in own_ports
    assert own_ports.stop <= 32768, "where connections begin"
