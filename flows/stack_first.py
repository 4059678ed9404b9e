"""What a team's first start needs once: ``python -m flows.stack_first TOKENS_DIR``.

Makes the home and, for the programs that call the service by themselves, a token each, in a
file of its own: ``flows`` (worker and guard), ``gateway`` and ``prometheus``. Run again it makes
what is missing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mammo.backup import require_settled
from mammo.settings import Settings, read_settings
from mammo.tokens import TokenStore

FOLDER_MODE = 0o711
"""Of the tokens' folder: Prometheus, another user, opens its file by name and lists nothing."""
CALLERS = {
    "flows": (["read", "operate"], 0o400),
    "gateway": (["predict", "read"], 0o400),
    "prometheus": (["read"], 0o444),
}
"""Who gets a token: its roles, and the mode of its file (Prometheus runs as another user)."""


def prepare(settings: Settings, tokens: Path) -> list[str]:
    """Make the home and the tokens that are missing or unknown; return the names of those made.

    A token is unknown when the home was restored onto an installation that was made anew:
    the store has the digest of the file that was there then.

    Raises StackUnhealthy where a restore of the home was killed half-way: then nothing starts.
    """
    require_settled(settings.home)
    for folder in (settings.home, settings.reports_dir, settings.inbox_dir):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tokens.chmod(FOLDER_MODE)  # a volume of before has 0700
    store = TokenStore(settings.tokens_path)
    known = {one.name for one in store.list()} if store.exists() else set()
    wanted = [name for name in CALLERS if not _is_good(store, tokens / name)]
    for name in wanted:
        if name in known:  # its file is lost or another's, and the token is kept nowhere
            store.revoke(name)
        roles, mode = CALLERS[name]
        _write(tokens / name, store.add(name, roles), mode)
    return wanted


def _is_good(store: TokenStore, path: Path) -> bool:
    """True when the file has the very token that the store knows by the file's name."""
    if not path.exists():
        return False
    found = store.find(path.read_text().strip())
    return found is not None and found.name == path.name


def _write(path: Path, token: str, mode: int) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(f"{token}\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.chmod(mode)
    draft.replace(path)


if __name__ == "__main__":
    made = prepare(read_settings(), Path(sys.argv[1]))
    print(f"tokens made: {', '.join(made) or 'none, all were there'}")
