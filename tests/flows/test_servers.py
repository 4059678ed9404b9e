"""Which ports servers of drills and tests get: free ones, and each only once."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

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


def test_the_tests_have_ports_of_their_own(own_ports: range) -> None:
    assert free_port() in own_ports
    assert own_ports.stop <= 32768, "where connections begin"
