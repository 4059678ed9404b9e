"""The tables of the prediction log, of types that SQLite and PostgreSQL share."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa


def to_utc(value: datetime) -> datetime:
    """Return the instant in UTC; a naive value is taken as UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An instant, stored as UTC without offset and read back as aware UTC.

    A naive datetime is taken as UTC.
    """

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the instant as naive UTC."""
        return None if value is None else to_utc(value).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return the instant as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


METADATA = sa.MetaData()
# SQLite counts up on its own only for the type INTEGER
_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

PREDICTIONS = sa.Table(
    "predictions",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("exam_id", sa.String, nullable=False, index=True),
    sa.Column("level", sa.String, nullable=False),
    sa.Column("laterality", sa.String),
    sa.Column("patient_id", sa.String, nullable=False, index=True),
    sa.Column("release_id", sa.String, nullable=False),
    sa.Column("role", sa.String, nullable=False, default="champion"),
    sa.Column("scanner", sa.String, nullable=False, index=True),
    sa.Column("software_version", sa.String, nullable=False, default=""),
    sa.Column("site", sa.String, nullable=False, default=""),
    sa.Column("acquired_on", sa.Date),
    sa.Column("scored_at", UtcDateTime, nullable=False, index=True),
    sa.Column("logit", sa.Double, nullable=False),
    sa.Column("probability", sa.Double, nullable=False),
    sa.Column("recall", sa.Boolean, nullable=False),
    sa.Column("threshold", sa.Double),
    sa.Column("quality", sa.String, nullable=False, default=""),
    sa.Column("embedding", sa.LargeBinary),
    sa.Column("features", sa.JSON(none_as_null=True)),
    sa.Column("latency_ms", sa.Double),
    # last: a log that was made before they existed gets them at the end, too
    sa.Column("request_id", sa.String, index=True),
    # null in rows of before: then nothing is known of them
    sa.Column("scale", sa.Integer),
    sa.Column("abstention", sa.String),
    # of the exam's row: files left out, by position, and which files the request's key is of
    sa.Column("refused", sa.JSON(none_as_null=True)),
    sa.Column("files_sha256", sa.String(64)),
    sqlite_autoincrement=True,
)

OUTCOMES = sa.Table(
    "outcomes",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    # of all that makes an outcome; a plain unique constraint would let NULL lateralities repeat
    sa.Column("fingerprint", sa.String(64), nullable=False, unique=True),
    sa.Column("exam_id", sa.String, nullable=False, index=True),
    sa.Column("laterality", sa.String),
    sa.Column("cancer", sa.Boolean, nullable=False),
    sa.Column("known_at", UtcDateTime, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

EPISODES = sa.Table(
    "episodes",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("key", sa.String, nullable=False, unique=True),
    sa.Column("stratum", sa.String, nullable=False),
    sa.Column("cause", sa.String, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("release_id", sa.String),
    sa.Column("opened_at", UtcDateTime, nullable=False),
    sa.Column("closed_at", UtcDateTime),
    sa.Column("status", sa.String, nullable=False, default="open"),
    sa.Column("exams_to_alarm", sa.Integer),
    sa.Column("evidence", sa.JSON(none_as_null=True)),
    sa.Column("report_url", sa.String),
    sa.Column("flow_run_id", sa.String),
    sa.Column("started_by", sa.String),
)

WATERMARKS = sa.Table(
    "watermarks",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("last_id", sa.BigInteger, nullable=False, default=0),
    sa.Column("state", sa.JSON, nullable=False),
)

CHANGES = sa.Table(
    "changes",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("release_id", sa.String, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

GATES = sa.Table(
    "gates",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    # of challenger, champion and account: a release judged again looks at nothing new
    sa.Column("key", sa.String(64), nullable=False, unique=True),
    sa.Column("account", sa.Integer, nullable=False),
    sa.Column("golden", sa.String(64), nullable=False),
    sa.Column("challenger", sa.String, nullable=False, index=True),
    sa.Column("challenger_digest", sa.String(64), nullable=False, index=True),
    sa.Column("champion", sa.String),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("alpha", sa.Double, nullable=False),
    # null until the verdict is there: a gate that was killed has spent its alpha all the same
    sa.Column("passed", sa.Boolean),
    sa.Column("decision", sa.JSON(none_as_null=True)),
    sa.Column("golden_patients", sa.JSON(none_as_null=True)),
)

APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("release_id", sa.String, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("by", sa.String, nullable=False),
    sa.Column("roles", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

TRIAL_FAILURES = sa.Table(
    "trial_failures",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("release_id", sa.String, nullable=False, index=True),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("code", sa.String, nullable=False),
    sa.Column("request_id", sa.String),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
)

FAILED_REQUESTS = sa.Table(
    "failed_requests",
    METADATA,
    sa.Column("id", _ID, primary_key=True, autoincrement=True),
    sa.Column("request_id", sa.String, nullable=False, index=True),
    sa.Column("code", sa.String, nullable=False),
    sa.Column("text", sa.String, nullable=False, default=""),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sqlite_autoincrement=True,
)
