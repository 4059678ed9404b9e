"""The image of a release as folders and a process of this machine, after its two Dockerfiles.

There is no engine to build it with: their COPY lines are done with files, ENV, RUN, HEALTHCHECK
and CMD are taken as they stand, paths and the port are those of here. The packages are the
tests' own, without those that the service's image lacks.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from flows.servers import free_port
from tests.deploy.compose import WITHOUT
from tests.deploy.images import DOCKER, ROOT, extras_of, modules_outside

SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", "secrets")  # as .dockerignore says
PLACES = ("/app", "/var/lib/mammo", "/run/tokens", "/tmp")
PORT = "3000"


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile in order, with lines that go on joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if rest
    ]


@dataclass
class ReleaseImage:
    """An image below ``folder/root``, built of ``context``: what `mammo release context` wrote, and
    the house's key, which whoever builds lays in.
    """

    folder: Path
    context: Path
    arguments: dict[str, str]
    port: int = field(default_factory=free_port)

    @property
    def root(self) -> Path:
        """Return where the image's files are."""
        return self.folder / "root"

    @property
    def home(self) -> Path:
        """Return MAMMO_HOME as the container sees it."""
        return self.root / "var/lib/mammo/home"

    def copy(self) -> None:
        """Do what the COPY lines of both Dockerfiles say; the volume begins empty."""
        for place in PLACES:
            (self.root / place[1:]).mkdir(parents=True)
        for words in self._said("COPY", service=True):
            if not words[0].startswith("--from"):  # from the stage that builds: the same files
                self._copy(ROOT, words)
        for words in self._said("COPY", service=False):
            self._copy(self.context, words)

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the RUN line of the release's Dockerfile, which looks at what was copied."""
        (line,) = (rest for word, rest in self._lines(service=False) if word == "RUN")
        return subprocess.run(
            ["sh", "-c", self._here(line)], cwd=self.root / "app", capture_output=True, text=True,
            env=self.environment() | self.arguments, check=False,
        )  # fmt: skip

    def healthcheck(self) -> subprocess.CompletedProcess[str]:
        """Run the HEALTHCHECK of the release's Dockerfile."""
        (line,) = (rest for word, rest in self._lines(service=False) if word == "HEALTHCHECK")
        return subprocess.run(
            self._command(line[line.index("[") :]), cwd=self.root / "app", capture_output=True,
            text=True, env=self.environment(), check=False,
        )  # fmt: skip

    @contextmanager
    def started(self, **given: str) -> Iterator[Path]:
        """Run the CMD with the variables of deploy/azure; gives the file that it prints into."""
        (line,) = (rest for word, rest in self._lines(service=True) if word == "CMD")
        log = self.folder / "service.log"
        with log.open("wb") as out:
            service = subprocess.Popen(
                self._command(line), cwd=self.root / "app", stdout=out, stderr=subprocess.STDOUT,
                env=self.environment() | given,
            )  # fmt: skip
            try:
                yield log
            finally:
                service.terminate()
                service.wait(30)

    def environment(self) -> dict[str, str]:
        """Return what the service's Dockerfile and deploy/azure/deployment.yml set."""
        said = " ".join(rest for word, rest in self._lines(service=True) if word == "ENV")
        inside = dict(one.split("=", 1) for one in shlex.split(said))
        azure = yaml.safe_load((ROOT / "deploy/azure/deployment.yml").read_text())
        # a reference is filled in by Azure, by a test when it starts
        given = azure["environment_variables"].items()
        inside |= {name: value for name, value in given if "${{" not in value}
        here = {name: self._here(str(value)) for name, value in inside.items()}
        hidden = os.pathsep.join((here["PYTHONPATH"], str(self._without())))
        own = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": hidden}
        return here | own

    def _without(self) -> Path:
        """Return a folder whose start-up file hides what the service's image does not hold."""
        folder = self.folder / "without"
        folder.mkdir(exist_ok=True)
        missing = modules_outside(extras_of("service"))
        (folder / "sitecustomize.py").write_text(WITHOUT.format(missing=missing))
        return folder

    def _lines(self, *, service: bool) -> list[tuple[str, str]]:
        name = "service.Dockerfile" if service else "release/Dockerfile"
        return instructions(DOCKER / name)

    def _said(self, instruction: str, *, service: bool) -> list[list[str]]:
        return [r.split() for word, r in self._lines(service=service) if word == instruction]

    def _copy(self, source: Path, words: list[str]) -> None:
        *names, to = words
        app = self.root / "app"
        target = self.root / to[1:] if to.startswith("/") else app / to
        for name in names:
            path = source / name
            if path.is_dir():
                shutil.copytree(path, target, ignore=SKIPPED, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)

    def _command(self, line: str) -> list[str]:
        return [self._here(word) for word in yaml.safe_load(line)]

    def _here(self, text: str) -> str:
        inside = "|".join(PLACES)
        text = re.sub(rf"(?<![\w./-])({inside})\b", lambda hit: f"{self.root}{hit[1]}", text)
        text = re.sub(rf"\b{PORT}\b", str(self.port), text)
        return text.replace("0.0.0.0", "127.0.0.1")
