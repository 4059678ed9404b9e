"""Deployment settings: addresses, paths and secrets, read from the environment.

Built when asked for, never at import. Every variable begins with ``MAMMO_``;
`.env.example` lists them. Science (sizes, rates, thresholds) is not here: it
lives beside its code and travels inside the release.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mammo.errors import SettingsInvalid
from mammo.pseudonym_key import (
    FINGERPRINT_NAME,
    decode_key,
    find_fingerprint,
    fingerprint,
    read_or_make_key,
    require_key,
    sweep_drafts,
    write_once,
)

TELEMETRY_OFF = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "YOLO_OFFLINE": "True",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


SECRET_FILES = {
    "MAMMO_DATABASE_URL": "database_url",
    "MAMMO_MLFLOW_DATABASE_URL": "mlflow_database_url",
    "MAMMO_PREFECT_DATABASE_URL": "prefect_database_url",
    "MAMMO_PSEUDONYM_KEY": "MAMMO_PSEUDONYM_KEY",
    "MAMMO_TOKEN": "token",
    "MAMMO_CALLER_TOKEN": "caller_token",
    "MAMMO_DICOMWEB_PASSWORD": "dicomweb_password",
    "MAMMO_DICOMWEB_TOKEN": "dicomweb_token",
}
"""Variables with a secret -> fields; each may be a file, named by the variable and ``_FILE``."""


def with_driver(url: str, driver: str) -> str:
    """Return the URL of a PostgreSQL database with a driver, where it names none."""
    return re.sub(r"^postgres(ql)?://", f"postgresql+{driver}://", url)


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files, as container engines hand them in: ``MAMMO_TOKEN_FILE=/run/secrets/…``.

    A variable that is set itself goes before its file.
    """

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Say nothing of single fields; `__call__` gives all of them."""
        return None, field_name, False

    def __call__(self) -> dict[str, str]:
        """Return what the files named in the environment hold, without surrounding space.

        Raises
        ------
        SettingsInvalid
            A file that is named cannot be read.
        """
        named = ((one, os.environ.get(f"{one}_FILE")) for one in SECRET_FILES)
        return {SECRET_FILES[one]: _secret(one, Path(path)) for one, path in named if path}


def _secret(variable: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SettingsInvalid(
            f"{variable}_FILE names a file that cannot be read ({reason}): name one that this "
            f"user may read, or set {variable}"
        ) from error


class Settings(BaseSettings):
    """Where this installation keeps its state and listens.

    Secrets (the URL of the log may hold a password) are in no dump or
    representation; only `child_environment` hands them on.
    """

    model_config = SettingsConfigDict(
        env_prefix="MAMMO_", env_file=".env", extra="ignore", populate_by_name=True
    )

    home: Path = Field(default_factory=lambda: Path.home() / ".mammo")
    database_url: SecretStr | None = Field(default=None, exclude=True)
    mlflow_database_url: SecretStr | None = Field(default=None, exclude=True)
    prefect_database_url: SecretStr | None = Field(default=None, exclude=True)
    given_key: SecretStr | None = Field(
        default=None, validation_alias="MAMMO_PSEUDONYM_KEY", exclude=True
    )
    dicomweb_url: str | None = None
    dicomweb_user: str | None = None
    dicomweb_password: SecretStr | None = Field(default=None, exclude=True)
    dicomweb_token: SecretStr | None = Field(default=None, exclude=True)
    site: str = "site-1"
    host: str = "127.0.0.1"
    auth: Literal["auto", "on"] = "auto"
    token: SecretStr | None = Field(default=None, exclude=True)
    caller_token: SecretStr | None = Field(default=None, exclude=True)
    azure_monitor: SecretStr | None = Field(default=None, exclude=True)
    require_signature: bool = True
    prefect_port: int = 4200
    mlflow_port: int = 5000
    service_port: int = 3000
    reports_port: int = 3080
    prefect_address: str | None = None
    mlflow_address: str | None = None
    service_address: str | None = None
    reports_address: str | None = None
    dicom_port: int = 11112
    dicom_ae_title: str = Field(default="MAMMO", min_length=1, max_length=16)
    dicom_quiet_seconds: float = Field(default=60.0, ge=0)
    dicom_idle_seconds: float = Field(default=60.0, gt=0)
    dicom_associations: int = Field(default=16, ge=1)
    dicom_max_mb: int = Field(default=512, ge=1)
    dicom_free_mb: int = Field(default=1024, ge=0)
    dicom_keep_days: float = Field(default=30.0, ge=0)
    dicom_tls_certificate: Path | None = None
    dicom_tls_key: Path | None = None
    dicom_tls_client_ca: Path | None = None
    max_file_mb: int = 200
    read_seconds: float = 60.0
    read_memory_mb: int = 2048
    max_request_mb: int = 800
    service_workers: int = Field(default=1, ge=1)
    exams_at_once: int = Field(default_factory=lambda: 1 + (os.cpu_count() or 1), ge=1)
    queue_exams: int = Field(default=32, ge=0)
    queue_mb: int = Field(default=2048, ge=1)
    queue_jobs: int = Field(default=1000, ge=0)
    exam_seconds: float = Field(default=120.0, gt=0)
    result_days: float = Field(default=30.0, ge=0)
    keep_original_ids: bool = True
    image_days: float | None = Field(default=None, ge=0)
    image_mb: int = Field(default=50_000, ge=1)
    image_digest: str | None = None
    data_remote: str | None = None
    data_remote_endpoint: str | None = None

    @field_validator("token", "caller_token", mode="before")
    @classmethod
    def _no_empty_token(cls, given: Any) -> Any:
        return given or None  # a variable that compose sets to nothing

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read secrets from files as well: ``MAMMO_TOKEN_FILE`` for ``MAMMO_TOKEN``."""
        files = SecretFiles(settings_cls)
        return init_settings, env_settings, files, dotenv_settings, file_secret_settings

    @property
    def monitor_connection(self) -> str | None:
        """Connection string of Application Insights; None where nobody is told anything."""
        return self.azure_monitor.get_secret_value() if self.azure_monitor else None

    @property
    def log_url(self) -> str:
        """SQLAlchemy URL of the prediction log; SQLite under ``home`` by default.

        ``postgresql://`` names no driver, and means the one that is installed (pg8000).
        """
        if self.database_url:
            return with_driver(self.database_url.get_secret_value(), "pg8000")
        return f"sqlite:///{self.home.resolve() / 'log.db'}"

    @property
    def mlflow_url_of_store(self) -> str:
        """SQLAlchemy URL of MLflow's runs; SQLite under ``home`` by default."""
        if self.mlflow_database_url:
            return with_driver(self.mlflow_database_url.get_secret_value(), "pg8000")
        return f"sqlite:///{self.home.resolve() / 'mlflow' / 'mlflow.db'}"

    @property
    def data_dir(self) -> Path:
        """The DVC-versioned folder with ``index.parquet`` and ``shards/``."""
        return self.home / "data"

    @property
    def index_path(self) -> Path:
        """The exam index."""
        return self.data_dir / "store" / "index.parquet"

    @property
    def shards_dir(self) -> Path:
        """Memory-mapped arrays of prepared images."""
        return self.data_dir / "store" / "shards"

    @property
    def inbox_dir(self) -> Path:
        """Where new exams land; the scheduled ingest looks here."""
        return self.home / "inbox"

    @property
    def quarantine_dir(self) -> Path:
        """Refused files and one report each."""
        return self.home / "quarantine"

    @property
    def releases_dir(self) -> Path:
        """One folder per release."""
        return self.home / "releases"

    @property
    def keys_dir(self) -> Path:
        """The key that releases are signed with, and the public keys that are trusted."""
        return self.home / "keys"

    @property
    def reports_dir(self) -> Path:
        """Data Docs, drift reports and plots; served at ``reports_url``."""
        return self.home / "reports"

    @property
    def logs_dir(self) -> Path:
        """Output of the child processes of `mammo up`."""
        return self.home / "logs"

    @property
    def bentoml_home(self) -> Path:
        """BentoML's store."""
        return self.home / "bentoml"

    @property
    def spool_dir(self) -> Path:
        """Predictions that wait for the database of the log."""
        return self.home / "spool"

    @property
    def results_dir(self) -> Path:
        """Answers, heat maps and what a report needs, for some days."""
        return self.home / "results"

    @property
    def images_dir(self) -> Path:
        """Images at full depth, for some days, for viewers."""
        return self.home / "images"

    @property
    def kept_image_days(self) -> float:
        """Days for which images are kept: ``image_days``, at most as long as results."""
        return (
            self.result_days if self.image_days is None else min(self.image_days, self.result_days)
        )

    @property
    def arriving_dir(self) -> Path:
        """What memory does not hold of requests while they come: unnamed files."""
        return self.home / "arriving"

    @property
    def jobs_dir(self) -> Path:
        """Exams that were accepted to be scored later."""
        return self.home / "jobs"

    @property
    def gateway_dir(self) -> Path:
        """What came in over DICOM: ``inbox/`` and the book of it."""
        return self.home / "gateway"

    @property
    def gateway_book(self) -> Path:
        """The gateway's studies, incidents and outbox, an SQLite file."""
        return self.gateway_dir / "gateway.sqlite"

    @property
    def locks_dir(self) -> Path:
        """Locks of requests that may be sent again."""
        return self.home / "locks"

    @property
    def audit_path(self) -> Path:
        """The audit log, a hash chain."""
        return self.home / "audit" / "audit.jsonl"

    @property
    def pointer_path(self) -> Path:
        """The durable pointer to the release in service."""
        return self.home / "pointer.json"

    @property
    def tokens_path(self) -> Path:
        """Digests and roles of the tokens that the service lets in."""
        return self.home / "tokens.json"

    def _address(self, given: str | None, port: int) -> str:
        """Return a server's address: the one given, where it runs elsewhere, or this host's."""
        return (given or f"http://{self.host}:{port}").rstrip("/")

    @property
    def prefect_api_url(self) -> str:
        """Address of the Prefect API."""
        return self._address(self.prefect_address, self.prefect_port) + "/api"

    @property
    def prefect_ui_url(self) -> str:
        """Address of the Prefect UI."""
        return self._address(self.prefect_address, self.prefect_port)

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow server and UI."""
        return self._address(self.mlflow_address, self.mlflow_port)

    @property
    def service_url(self) -> str:
        """Address of the prediction service."""
        return self._address(self.service_address, self.service_port)

    @property
    def reports_url(self) -> str:
        """Address under which ``reports_dir`` and the loop's metrics are served."""
        return self._address(self.reports_address, self.reports_port)

    def pseudonym_key(self) -> bytes:
        """Return the site's secret for pseudonyms: the one given, or one made on first use.

        The made one is written once with mode 0600; threads and processes that
        race end with one key.

        Raises
        ------
        SettingsInvalid
            ``MAMMO_PSEUDONYM_KEY`` or the key file is too short or no key at all, or
            another than the store was made with: the same patient would get a second
            pseudonym.
        StoreReadOnly, DiskFull
            The key file cannot be made.
        """
        key = self.own_key()
        known = find_fingerprint(self.home, self.data_dir, self.index_path)
        if known:
            require_key(key, known)
        return key

    def own_key(self) -> bytes:
        """Return the key without asking whether it is the store's; see `pseudonym_key`."""
        if self.given_key:
            return decode_key(self.given_key.get_secret_value().strip())
        return read_or_make_key(self.home)

    def check_pseudonym_key(self) -> None:
        """Refuse a key other than the one that the store was made with, and keep its fingerprint.

        That (an HMAC, from which no key can be found) is beside the store, in
        ``data/pseudonym.fingerprint``, from the first call on. Raises what
        `pseudonym_key` raises.
        """
        key, path = self.pseudonym_key(), self.data_dir / FINGERPRINT_NAME
        if not path.exists():
            write_once(path, f"{fingerprint(key)}\n".encode())
            self.pseudonym_key()  # another process with another key may have been first
        for folder in (self.home, self.data_dir):
            sweep_drafts(folder)

    def child_environment(self) -> dict[str, str]:
        """Return the environment for child processes and in-process clients."""
        return {
            **os.environ,
            **TELEMETRY_OFF,
            **self._given_secrets(),
            # service, flows and servers share the cores: threads that spin while they wait
            # cost the others more than they save
            "OMP_WAIT_POLICY": "PASSIVE",
            "MAMMO_HOME": str(self.home.resolve()),
            # a child in another folder must not take this for a service that only listens here
            "MAMMO_HOST": self.host,
            "MAMMO_AUTH": self.auth,
            "MAMMO_REQUIRE_SIGNATURE": str(self.require_signature).lower(),
            **self._archive(),
            "PREFECT_HOME": str(self.home.resolve() / "prefect"),
            "PREFECT_API_URL": self.prefect_api_url,
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "BENTOML_HOME": str(self.bentoml_home.resolve()),
            **self._prefect_database(),
        }

    def _prefect_database(self) -> dict[str, str]:
        if not self.prefect_database_url:
            return {}
        url = with_driver(self.prefect_database_url.get_secret_value(), "asyncpg")
        return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}

    def _archive(self) -> dict[str, str]:
        given = {"URL": self.dicomweb_url, "USER": self.dicomweb_user}
        return {f"MAMMO_DICOMWEB_{name}": value for name, value in given.items() if value}

    def _given_secrets(self) -> dict[str, str]:
        """Return the secrets by variable; a child in another folder finds no `.env`."""
        given = {
            "DATABASE_URL": self.database_url,
            "MLFLOW_DATABASE_URL": self.mlflow_database_url,
            "PREFECT_DATABASE_URL": self.prefect_database_url,
            "PSEUDONYM_KEY": self.given_key,
            "DICOMWEB_PASSWORD": self.dicomweb_password,
            "DICOMWEB_TOKEN": self.dicomweb_token,
            "TOKEN": self.token,
            "CALLER_TOKEN": self.caller_token,
            "AZURE_MONITOR": self.azure_monitor,
        }
        return {f"MAMMO_{name}": one.get_secret_value() for name, one in given.items() if one}


def read_settings() -> Settings:
    """Build the settings from the environment and `.env`."""
    return Settings()
