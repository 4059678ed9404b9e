"""PostgreSQL as docker-compose.yml has it: made by the init script, with roles and passwords."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.docker.make_secrets import make_secrets
from tests.deploy.compose import Here
from tests.deploy.images import ROOT
from tests.postgres import Cluster


def bound_to(folder: Path) -> Here:
    """Return a place for the containers whose secrets name the server of here."""
    here = Here(folder)
    make_secrets(here.secrets)
    for path in here.secrets.glob("*_database_url"):
        path.chmod(0o600)
        path.write_text(path.read_text().replace("postgres:5432", f"127.0.0.1:{here.ports[5432]}"))
    return here


class ScramCluster(Cluster):
    """As PostgreSQL's image makes it: an administrator `postgres`, passwords over TCP."""

    def __init__(self, other: Cluster, here: Here) -> None:
        super().__init__(other.binaries, other.folder)
        self.data, self.port = other.folder / "scram", here.ports[5432]
        self.password = (here.secrets / "postgres_password").read_text()

    def init(self) -> None:
        """Make the cluster."""
        word = self.folder / "word"
        word.write_text(self.password)
        word.chmod(0o644)
        options = ("--auth=scram-sha-256", f"--pwfile={word}", "--encoding=UTF8", "--no-sync")
        self._run("initdb", "--username=postgres", *options, "--locale=C.UTF-8",
                  f"--pgdata={self.data}")  # fmt: skip

    def run_init_script(self, here: Here) -> None:
        """Run what the image runs on its first start."""
        script = ROOT / "deploy" / "docker" / "postgres" / "10-databases.sh"
        variables = {
            "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGPASSWORD": self.password,
            "SECRETS": str(here.secrets), "PATH": "/usr/bin:/bin",
        }  # fmt: skip
        done = subprocess.run([script], env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
