"""A workflow's own shell on this machine, with stand-ins for cosign, gh and docker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.ci.workflows import ROOT, jobs

RELEASE = "r-20260301-aaaaaaaa"
HELD = "cd" * 32
DIGEST = "sha256:" + "ab" * 32
OURS = f"ghcr.io/some-owner/mammo-service-release@{DIGEST}"
SERVICE = f"ghcr.io/some-owner/mammo-service@{DIGEST}"
TODAY = datetime.now(UTC)
GIVEN = {"OWNER": "Some-Owner", "REPOSITORY": "Some-Owner/mammo", "SERVICE": SERVICE,
         "WITHDRAWN": "", "WRITTEN": TODAY.isoformat()}  # fmt: skip
STAND_IN = """#!{python}
import base64, json, os, pathlib, subprocess, sys
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open("calls", "a") as calls:
    calls.write(json.dumps([name, *words]) + "\\n")
if name == "gh" and words[0] == "api":
    told = json.loads(os.environ["GITHUB"]).get(words[1], 404)
    if isinstance(told, int):
        sys.exit(f"gh: refused (HTTP {{told}})")
    filtered = ["jq", "--raw-output", words[words.index("--jq") + 1]]
    sys.exit(subprocess.run(filtered, input=json.dumps(told), text=True).returncode)
if name == "gh":
    pathlib.Path("mammo-release.tar").write_bytes(pathlib.Path(os.environ["TAR"]).read_bytes())
if name == "cosign" and words[0] in os.environ.get("REFUSED", "").split():
    sys.exit("no matching signatures")
if name == "cosign" and words[0] == "verify-attestation":
    permit = {{"release": "{release}", "digest": "{digest}", "written_at": os.environ["WRITTEN"]}}
    said = {{"predicate": permit | {{"permit": {{"text": "C1: First release."}}}}}}
    print(json.dumps({{"payload": base64.b64encode(json.dumps(said).encode()).decode()}}))
if name == "docker":
    inside = {{one.split(":")[1]: one.split(":")[0] for one in words if one.endswith(":ro")}}
    command = [inside.get(one, one) for one in words[words.index(os.environ["SERVICE"]) + 2 :]]
    sys.exit(subprocess.run(["{python}", *command]).returncode)
"""


class Runner:
    """A folder in which a workflow's steps run, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder / "work", folder / "programs"
        self.folder.mkdir()
        (self.folder / ".github").symlink_to(ROOT / ".github")  # as the checkout has it
        for name in ("cosign", "gh", "docker"):
            text = STAND_IN.format(python=sys.executable, release=RELEASE, digest=HELD)
            self.stand_in(self.programs / name, text)

    def stand_in(self, program: Path, text: str) -> None:
        """Put a script in the place of a program."""
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)

    def step(self, job: str, named: str, **given: str) -> subprocess.CompletedProcess[str]:
        """Run the step whose name has ``named`` in it."""
        found = [one for one in dict(jobs())[job]["steps"] if named in one.get("name", "")]
        assert len(found) == 1, named
        files = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
        own = {name: str(self.folder / name) for name in files}
        path = f"{self.programs}:{os.environ['PATH']}"
        inside = {"PATH": path, "PYTHONPATH": str(ROOT)} | own | GIVEN | given
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found[0]["run"]]
        return subprocess.run(
            words, cwd=self.folder, env=inside, capture_output=True, text=True, check=False
        )

    def told(self, file: str) -> str:
        """Return what was written for the next steps, or for people."""
        return (self.folder / file).read_text()

    def calls(self, program: str) -> list[list[str]]:
        """Return the words that a stand-in was called with."""
        lines = [json.loads(line) for line in self.told("calls").splitlines()]
        return [words for name, *words in lines if name == program]
