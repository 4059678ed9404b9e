from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_server_keeps_no_timer_of_an_answered_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BentoML's own limit kept 3 to 6 KB of each request until it ran out."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    from _bentoml_impl.server.app import ServiceAppFactory

    from bentos.screening.edge import OwnRoutes, Untimed
    from bentos.screening.service import Screening

    Screening.inject_config()
    factory = ServiceAppFactory(Screening)
    around = [one.cls for one in factory.middlewares]
    assert OwnRoutes in around and Untimed in around
    assert [one.__name__ for one in around if "Timeout" in one.__name__] == []
