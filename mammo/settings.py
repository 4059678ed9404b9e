"""Deployment settings: addresses, paths and secrets, read from the environment.

Built when asked for, never at import. Every variable begins with ``MAMMO_``;
`.env.example` lists them. Science (sizes, rates, thresholds) is not here: it
lives beside its code and travels inside the release.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from mammo.errors import SettingsInvalid

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
MIN_KEY_BYTES = 16


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
    given_key: SecretStr | None = Field(
        default=None, validation_alias="MAMMO_PSEUDONYM_KEY", exclude=True
    )
    site: str = "site-1"
    host: str = "127.0.0.1"
    prefect_port: int = 4200
    mlflow_port: int = 5000
    service_port: int = 3000
    reports_port: int = 3080
    max_file_mb: int = 200
    read_seconds: float = 60.0
    read_memory_mb: int = 2048
    max_request_mb: int = 800

    @property
    def log_url(self) -> str:
        """SQLAlchemy URL of the prediction log; SQLite under ``home`` by default."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home.resolve() / 'log.db'}"

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
        """Return the site's secret for pseudonyms: the one given, or one made on first use.

        The made one is written once with mode 0600; threads and processes that
        race end with one key.

        Raises
        ------
        SettingsInvalid
            ``MAMMO_PSEUDONYM_KEY`` or the key file is too short or no key at all.
        """
        if self.given_key:
            return _decode_key(self.given_key.get_secret_value().strip())
        path = self.home / "pseudonym.key"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            _write_once(path, secrets.token_bytes(32))
        key = path.read_bytes()
        if len(key) < MIN_KEY_BYTES:
            raise SettingsInvalid(
                f"the key file {path.name} holds {len(key)} bytes, and a key has at least "
                f"{MIN_KEY_BYTES}: restore it from a backup, or the pseudonyms change"
            )
        return key

    def check_pseudonym_key(self) -> None:
        """Refuse a key other than the one that the store was made with.

        Its fingerprint (an HMAC, from which no key can be found) is kept beside
        the store, in ``data/pseudonym.fingerprint``, from the first call on.

        Raises
        ------
        SettingsInvalid
            The key differs: the same patient would get a second pseudonym.
        """
        path = self.data_dir / "pseudonym.fingerprint"
        mine = fingerprint(self.pseudonym_key()) + "\n"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_once(path, mine.encode())
        if not hmac.compare_digest(path.read_text().strip(), mine.strip()):
            raise SettingsInvalid(
                "the pseudonym key differs from the one that the store was made with, and the "
                "same patient would get a second pseudonym: set MAMMO_PSEUDONYM_KEY back (or "
                "unset it to use the key file), or set another MAMMO_HOME"
            )

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
            "PREFECT_HOME": str(self.home.resolve() / "prefect"),
            "PREFECT_API_URL": self.prefect_api_url,
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "BENTOML_HOME": str(self.bentoml_home.resolve()),
        }

    def _given_secrets(self) -> dict[str, str]:
        """Return the secrets by variable; a child in another folder finds no `.env`."""
        given = {"DATABASE_URL": self.database_url, "PSEUDONYM_KEY": self.given_key}
        return {f"MAMMO_{name}": one.get_secret_value() for name, one in given.items() if one}


def fingerprint(key: bytes) -> str:
    """Return what tells keys apart and gives none away, 32 hexadecimal digits."""
    return hmac.new(key, b"mammo: fingerprint of the key", hashlib.sha256).hexdigest()[:32]


def _decode_key(text: str) -> bytes:
    """Decode hexadecimal digits, else base64 in either alphabet; the text is never quoted."""
    with contextlib.suppress(binascii.Error, ValueError):
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text):
            key = bytes.fromhex(text)
        else:
            plain = text.translate(str.maketrans("-_", "+/")).rstrip("=")
            key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        # a word or zeros are no secret: even 16 random bytes have 12 different ones or more
        if len(key) >= MIN_KEY_BYTES and len(set(key)) >= MIN_KEY_BYTES // 2:
            return key
    raise SettingsInvalid(
        f"MAMMO_PSEUDONYM_KEY is no key: it needs at least {MIN_KEY_BYTES} random bytes in "
        "hexadecimal digits or base64; make one with `openssl rand -hex 32`"
    )


def _write_once(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 whole, unless another process has made it first."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")  # mode 0600
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    Path(draft).unlink()


def read_settings() -> Settings:
    """Build the settings from the environment and `.env`."""
    return Settings()
