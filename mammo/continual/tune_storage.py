"""Where studies lie: SQLite or PostgreSQL, by Optuna."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mammo.continual.tune_states import RETRIES
from mammo.errors import SourceInvalid
from mammo.prediction_log.engine import log_url

SQLITE_WAIT_S = 60


def open_storage(storage: str, heartbeat_s: int) -> Any:
    """Open a storage whose trials have a heartbeat, and are run again when it is stale.

    Raises SourceInvalid for a URL that is none, or that cannot be opened.
    """
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    url = _read_url(storage)
    sqlite = url.get_backend_name() == "sqlite"
    engine = {"connect_args": {"timeout": SQLITE_WAIT_S}} if sqlite else {"pool_pre_ping": True}
    try:
        return RDBStorage(
            url.render_as_string(hide_password=False),
            engine_kwargs=engine,
            heartbeat_interval=heartbeat_s,
            grace_period=3 * heartbeat_s,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
        )
    except (ImportError, TypeError, sa.exc.SQLAlchemyError) as error:  # TypeError: by the driver
        cause, place = getattr(error, "orig", None) or error, _place(url)
        said = " ".join(str(cause).split()).replace(url.render_as_string(), place)
        raise SourceInvalid(
            f"the storage {place} cannot be opened ({type(cause).__name__}: {said}). Allowed are "
            "sqlite:///FILE and postgresql://… (pip install -e '.[postgres]' in the checkout)"
        ) from error


def _place(url: sa.URL) -> str:
    """Return driver, host and database: user, password or both may stand in the query as well."""
    bare = sa.URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
    return bare.render_as_string()


def _read_url(storage: str) -> sa.URL:
    try:
        return log_url(storage)
    except (sa.exc.ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise SourceInvalid(
            "the storage is no SQLAlchemy URL; allowed are sqlite:///FILE and postgresql://…"
        ) from error
