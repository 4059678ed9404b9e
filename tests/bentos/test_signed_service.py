"""The service with real releases: what nobody signed does not answer, and readiness says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from bentos.screening.app import create_app
from bentos.screening.loading import VerifiedLoad
from bentos.screening.packaging import sign_packaged
from mammo.errors import SignatureInvalid
from mammo.release import MANIFEST
from mammo.screening import Screener
from mammo.settings import Settings
from tests.bentos.conftest import point_to
from tests.bentos.releases import write_release

FIRST, SECOND = "r-20260301-aaaaaaaa", "r-20260302-bbbbbbbb"


def put(settings: Settings, release_id: str) -> Path:
    directory = write_release(settings.releases_dir, release_id)
    point_to(settings, release_id, release_dir=str(directory))
    return directory


def test_unsigned_release_is_refused_until_it_is_signed(settings: Settings) -> None:
    directory = put(settings, FIRST)
    (directory / "signature.json").unlink()
    app = create_app(settings)
    with TestClient(app) as client:
        told = client.get("/readyz").json()
        assert (told["status"], told["refused"]["code"]) == (503, "SIGNATURE_INVALID")
        assert f"`mammo sign {FIRST}` signs it" in told["refused"]["message"]
        sign_packaged(FIRST, settings)
        app.state.service.rollout.check()
        assert client.get("/readyz").json()["release"] == FIRST


def test_wrongly_signed_release_leaves_the_one_before(settings: Settings) -> None:
    put(settings, FIRST)
    app = create_app(settings)
    with TestClient(app) as client:
        directory = put(settings, SECOND)
        signed = settings.releases_dir / FIRST / "signature.json"
        (directory / "signature.json").write_bytes(signed.read_bytes())
        app.state.service.rollout.check()
        told = client.get("/readyz").json()
        assert (told["release"], told["refused"]["release"]) == (FIRST, SECOND)
        assert told["refused"]["code"] == "SIGNATURE_INVALID"


def test_release_exchanged_while_it_is_loaded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, other = put(settings, FIRST), put(settings, SECOND)
    real = Screener.load

    def exchange(place: Path, **given: object) -> Screener:
        for path in other.iterdir():
            if path.name != "signature.json":
                (place / path.name).write_bytes(path.read_bytes())
        return real(place, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(Screener, "load", exchange)
    with pytest.raises(SignatureInvalid, match="was exchanged while it was loaded"):
        VerifiedLoad(settings)(directory)
    assert (directory / MANIFEST).read_bytes() == (other / MANIFEST).read_bytes()
