"""What the first start makes: tokens for our own programs, once, and again if a file is lost."""

from __future__ import annotations

from pathlib import Path

from flows.stack_first import CALLERS, prepare
from mammo.settings import Settings
from mammo.tokens import TokenStore


def test_tokens_are_made_once_and_replaced_when_lost(tmp_path: Path) -> None:
    settings, tokens = Settings(home=tmp_path / "home", _env_file=None), tmp_path / "tokens"
    tokens.mkdir()
    assert prepare(settings, tokens) == list(CALLERS)
    store = TokenStore(settings.tokens_path)
    for name, (roles, mode) in CALLERS.items():
        found = store.find((tokens / name).read_text().strip())
        assert found is not None and found.name == name and set(found.roles) == set(roles)
        assert (tokens / name).stat().st_mode & 0o777 == mode
    assert prepare(settings, tokens) == []
    lost = (tokens / "gateway").read_text().strip()
    (tokens / "gateway").unlink()
    assert prepare(settings, tokens) == ["gateway"]
    assert store.find(lost) is None, "nobody knows where the lost one is"
    assert len(store.list()) == len(CALLERS)
