"""The secrets of `docker-compose.yml`: ``python deploy/docker/make_secrets.py [FOLDER]``.

Random ones, each in a file of its own. What is there already stays: a database keeps the
password that it was made with. The folder is for its owner alone (0700); its files can be
read by whoever gets into it (0444), since Compose binds them into containers with the mode
they have, and the containers run as users of their own. What others give you, a person writes
(0644): those files are empty until then.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"


def _password() -> str:
    return secrets.token_hex(24)


def _database(name: str) -> Callable[[], str]:
    return lambda: f"postgresql://{name}:{_password()}@postgres:5432/{name}"


def _orthanc() -> str:
    return json.dumps({"RegisteredUsers": {"mammo": _password()}})


SECRETS: dict[str, Callable[[], str]] = {
    "postgres_password": _password,
    "mammo_database_url": _database("mammo"),
    "mlflow_database_url": _database("mlflow"),
    "prefect_database_url": _database("prefect"),
    "grafana_admin_password": _password,
    "grafana_reader_password": _password,
    "orthanc_users": _orthanc,
    "smtp_password": str,
    "oncall_webhook": str,  # who has the address of a webhook may call it
    "readers_webhook": str,
    "watchdog_url": str,
}
WRITTEN_BY_YOU = {"smtp_password", "oncall_webhook", "readers_webhook", "watchdog_url"}


def make_secrets(folder: Path) -> list[str]:
    """Write the secrets that are missing and return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / ".gitignore").write_text("*\n")
    missing = [name for name in SECRETS if not (folder / name).exists()]
    for name in missing:
        mode = 0o644 if name in WRITTEN_BY_YOU else 0o444
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w") as stream:
            stream.write(SECRETS[name]())
        (folder / name).chmod(mode)
    return missing


if __name__ == "__main__":
    made = make_secrets(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    print(f"made: {', '.join(made) or 'nothing, all were there'}")
