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
    except (ImportError, sa.exc.SQLAlchemyError) as error:
        told = getattr(error, "orig", None) or error
        raise SourceInvalid(
            f"the storage {url.render_as_string()} cannot be opened ({type(told).__name__}: "
            f"{' '.join(str(told).split())}). Allowed are sqlite:///FILE and postgresql://… "
            "(pip install -e '.[postgres]' in the checkout)"
        ) from error


def _read_url(storage: str) -> sa.URL:
    try:
        return log_url(storage)
    except sa.exc.ArgumentError as error:
        raise SourceInvalid(
            "the storage is no SQLAlchemy URL; allowed are sqlite:///FILE and postgresql://…"
        ) from error
