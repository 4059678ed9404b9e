"""Deployment settings: addresses, paths and secrets, read from the environment.

Built when asked for, never at import. Every variable begins with ``MAMMO_``;
`.env.example` lists them. Science (sizes, rates, thresholds) is not here: it
lives beside its code and travels inside the release.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

TELEMETRY_OFF = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "YOLO_OFFLINE": "True",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


class Settings(BaseSettings):
    """Where this installation keeps its state and listens."""

    model_config = SettingsConfigDict(env_prefix="MAMMO_", env_file=".env", extra="ignore")

    home: Path = Field(default_factory=lambda: Path.home() / ".mammo")
    database_url: str | None = None
    site: str = "site-1"
    host: str = "127.0.0.1"
    prefect_port: int = 4200
    mlflow_port: int = 5000
    service_port: int = 3000
    reports_port: int = 3080
    max_file_mb: int = 200
    max_request_mb: int = 800

    @property
    def log_url(self) -> str:
        """SQLAlchemy URL of the prediction log; SQLite under ``home`` by default."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'log.db'}"

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
    def pointer_path(self) -> Path:
        """The durable pointer to the release in service."""
        return self.home / "pointer.json"

    @property
    def prefect_api_url(self) -> str:
        """Address of the Prefect API."""
        return f"http://{self.host}:{self.prefect_port}/api"

    @property
    def prefect_ui_url(self) -> str:
        """Address of the Prefect UI."""
        return f"http://{self.host}:{self.prefect_port}"

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow server and UI."""
        return f"http://{self.host}:{self.mlflow_port}"

    @property
    def service_url(self) -> str:
        """Address of the prediction service."""
        return f"http://{self.host}:{self.service_port}"

    @property
    def reports_url(self) -> str:
        """Address under which ``reports_dir`` and the loop's metrics are served."""
        return f"http://{self.host}:{self.reports_port}"

    def pseudonym_key(self) -> bytes:
        """Return the site's secret for pseudonyms, making it on first use.

        Written once with mode 0600; threads and processes that race end with one key.
        """
        path = self.home / "pseudonym.key"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=self.home, prefix=".pseudonym.")  # mode 0600
            with os.fdopen(handle, "wb") as stream:
                stream.write(secrets.token_bytes(32))
            # where another one made it first, its key is the key
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            Path(draft).unlink()
        return path.read_bytes()

    def child_environment(self) -> dict[str, str]:
        """Return the environment for child processes and in-process clients."""
        return {
            **os.environ,
            **TELEMETRY_OFF,
            # service, flows and servers share the cores: threads that spin while they wait
            # cost the others more than they save
            "OMP_WAIT_POLICY": "PASSIVE",
            "MAMMO_HOME": str(self.home.resolve()),
            "PREFECT_HOME": str(self.home.resolve() / "prefect"),
            "PREFECT_API_URL": self.prefect_api_url,
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "BENTOML_HOME": str(self.bentoml_home.resolve()),
        }


def read_settings() -> Settings:
    """Build the settings from the environment and `.env`."""
    return Settings()
