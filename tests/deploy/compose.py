"""docker-compose.yml read as plain processes: commands, environment and paths of this machine."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flows.servers import free_port
from tests.deploy.images import ROOT, extras_of, modules_outside

FILE = ROOT / "docker-compose.yml"
PORTS = {
    "MAMMO_PREFECT_PORT": 4200, "MAMMO_MLFLOW_PORT": 5000, "MAMMO_SERVICE_PORT": 3000,
    "MAMMO_REPORTS_PORT": 3080, "MAMMO_DICOM_PORT": 11112, "PROMETHEUS": 9090,
    "ALERTMANAGER": 9093, "ORTHANC_HTTP": 8042, "ORTHANC_DICOM": 4242, "POSTGRES": 5432,
}  # fmt: skip
"""Ports inside of the containers; each gets a free one here."""
PROGRAMS = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager",
            "orthanc": "Orthanc"}  # fmt: skip
"""Images of others -> what their packages are called in Debian."""
HOSTS = ("postgres", "prefect", "mlflow", "service", "reports", "gateway", "alertmanager",
         "prometheus")  # fmt: skip
WITHOUT = """
import importlib.machinery as machinery
MISSING, find = frozenset({missing!r}), machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if path is None and name in MISSING else find(name, path, target)
machinery.PathFinder.find_spec = find_spec
"""
"""A start-up file that hides what an image does not hold."""


def read_compose() -> dict[str, Any]:
    """Return the file as data, with merged anchors and defaults for variables.

    As Compose does it: what a variable gives is text, and no YAML any more.
    """
    return dict(_filled(yaml.safe_load(FILE.read_text())))


def _filled(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _filled(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_filled(one) for one in found]
    if isinstance(found, str):
        return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", found).replace("$$", "$")
    return found


@dataclass
class Here:
    """A place on this machine for all containers: folders for volumes, ports for ports."""

    folder: Path
    compose: dict[str, Any] = field(default_factory=read_compose)
    given: dict[str, dict[str, str]] = field(default_factory=dict)
    """Container -> variables that a team sets in .env."""
    ports: dict[int, int] = field(
        default_factory=lambda: {inside: free_port() for inside in PORTS.values()}
    )

    def volume(self, name: str) -> Path:
        """Return the folder of a named volume."""
        path = self.folder / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def secrets(self) -> Path:
        """Return where the secrets lie."""
        return self.folder / "secrets"

    def command(self, name: str) -> list[str] | None:
        """Return what the container runs, or None where the program is not installed here."""
        service = self.compose["services"][name]
        words = [*_words(service.get("entrypoint")), *_words(service.get("command"))]
        if name in PROGRAMS:
            program = shutil.which(PROGRAMS[name], path="/usr/bin:/usr/sbin:/usr/local/bin")
            if program is None:
                return None
            if words[0] == "sh":  # a script of ours, which is given the program's name
                words = [program if word == name else word for word in words]
            else:
                words = [program, *(words[1:] if "entrypoint" in service else words)]
        elif words[0] != "python":
            return None
        return self._words(name, words)

    def healthcheck(self, name: str) -> list[str] | None:
        """Return the command of the healthcheck; None for a container that ends by itself."""
        check = self.compose["services"][name]["healthcheck"]
        return None if check.get("disable") else self._words(name, check["test"][1:])

    def environment(self, name: str) -> dict[str, str]:
        """Return the container's variables, with the ports of here and without absent modules."""
        service = self.compose["services"][name]
        given = service.get("environment", {})
        inside = {key: self.here(name, str(value)) for key, value in given.items()}
        ports = {key: str(self.ports[port]) for key, port in PORTS.items()}
        image = str(service["image"]).removeprefix("mammo-").split(":")[0]
        own = {"PYTHONPATH": str(self._without(image))} if "mammo-" in service["image"] else {}
        return {**ports, **inside, **own, **self.given.get(name, {}),
                "HOME": str(self.folder), "PATH": "/usr/bin:/bin",
                "PGPORT": str(self.ports[5432]), "MAMMO_DICOM_QUIET_SECONDS": "1"}  # fmt: skip

    def here(self, name: str, text: str) -> str:
        """Return a text with the paths, hosts and ports that it has here."""
        places = {"/run/secrets": str(self.secrets), "/app": str(ROOT), **self._mounts(name)}
        inside = "|".join(re.escape(one) for one in sorted(places, key=len, reverse=True))
        # in one pass: a path of here may hold one of inside, too
        text = re.sub(rf"(?<![\w./-])({inside})(?![\w.-])", lambda hit: places[hit[1]], text)
        for host in HOSTS:
            text = re.sub(rf"\b{host}:(\d+)", r"127.0.0.1:\1", text)
        text = text.replace("0.0.0.0", "127.0.0.1")
        ports = "|".join(str(port) for port in self.ports)
        return re.sub(rf"\b({ports})\b", lambda hit: str(self.ports[int(hit[1])]), text)

    def _words(self, name: str, words: list[str]) -> list[str]:
        mapped = [self.here(name, word) for word in words]
        return [sys.executable if word == "python" else word for word in mapped]

    def _mounts(self, name: str) -> dict[str, str]:
        """Return the paths inside and what they are here."""
        service = self.compose["services"][name]
        mounts = (mount.split(":") for mount in service.get("volumes", []))
        found = {inside: str(self._bound(name, outside)) for outside, inside, *_ in mounts}
        for secret in self._targets(name):
            target = Path(secret["target"])
            found[str(target)] = str(self.folder / "bound" / name / target.name)
            found[str(target.parent)] = str(self.folder / "bound" / name)
        return found

    def _targets(self, name: str) -> list[dict[str, str]]:
        """Return the secrets that a container finds under a path of its own."""
        secrets = self.compose["services"][name].get("secrets", [])
        return [one for one in secrets if isinstance(one, dict)]

    def _bound(self, name: str, outside: str) -> Path:
        """Return the folder of a volume, or a file of the repository, or its copy for here."""
        if not outside.startswith("."):
            return self.volume(outside)
        return self.folder / "bound" / name / Path(outside).name

    def bind(self, name: str) -> None:
        """Copy what is bound into the container, with the addresses of here."""
        service = self.compose["services"][name]
        for secret in self._targets(name):
            copy = Path(self.here(name, secret["target"]))
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((self.secrets / secret["source"]).read_bytes())
        for mount in service.get("volumes", []):
            outside, *_ = mount.split(":")
            if not outside.startswith("."):
                continue
            source, copy = ROOT / outside, self._bound(name, outside)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, dirs_exist_ok=True)
            else:
                text = source.read_text()
                mine = source.parent.name == "docker"
                copy.write_text(self._config(name, text) if mine else text)

    def _config(self, name: str, text: str) -> str:
        rules = self.folder / "bound" / name
        return self.here(name, text.replace("/etc/prometheus/rules/*.yml", f"{rules}/*-rules.yml"))

    def _without(self, image: str) -> Path:
        folder = self.folder / "without" / image
        if not folder.exists():
            folder.mkdir(parents=True)
            missing = modules_outside(extras_of(image))
            (folder / "sitecustomize.py").write_text(WITHOUT.format(missing=missing))
        return folder


def _words(command: Any) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else list(command or [])


def waves(services: dict[str, Any]) -> list[list[str]]:
    """Return the services in the order to start in: each wave needs only those before it."""
    done: set[str] = set()
    order: list[list[str]] = []
    while len(done) < len(services):
        ready = [
            name
            for name, one in services.items()
            if name not in done and set(one.get("depends_on", {})) <= done
        ]
        if not ready:
            raise ValueError(f"these wait for each other: {sorted(set(services) - done)}")
        order.append(ready)
        done.update(ready)
    return order
