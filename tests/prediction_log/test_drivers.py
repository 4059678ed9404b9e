from __future__ import annotations

import pytest

from mammo.errors import SettingsInvalid
from mammo.prediction_log import PredictionLog
from mammo.settings import Settings


@pytest.mark.parametrize("kind", ["postgresql+psycopg", "mysql", "nodb"])
def test_a_missing_driver_says_what_to_install(kind: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"'\.\[postgres\]'") as caught:
        PredictionLog(f"{kind}://user:secret@host/mammo")
    assert "secret" not in caught.value.message


def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_TOKEN", "")
    assert Settings(_env_file=None).token is None
