"""The databases of an installation: which there are, and where each is kept."""

from __future__ import annotations

from mammo.settings import Settings

SQLITE = {"log": "log.db", "mlflow": "mlflow/mlflow.db", "prefect": "prefect/prefect.db"}
GATEWAY = "gateway/gateway.sqlite"


def database_urls(settings: Settings) -> dict[str, str]:
    """Return the databases that are kept on a server, by name; their URLs hold passwords."""
    given = {
        "log": settings.database_url,
        "mlflow": settings.mlflow_database_url,
        "prefect": settings.prefect_database_url,
    }
    return {name: url.get_secret_value() for name, url in given.items() if url}


def sqlite_names(settings: Settings) -> dict[str, str]:
    """Return the SQLite files with a name of their own: path in the home to name."""
    elsewhere = database_urls(settings)
    known = {path: name for name, path in SQLITE.items() if name not in elsewhere}
    return {**known, GATEWAY: "gateway"}
