"""The pre-commit hook that keeps patients and keys out of the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.ci.workflows import ROOT

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
(HOOK,) = [one for one in CONFIG["repos"][0]["hooks"] if one["id"] == "no-patient-files"]
DICOM = bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00"
HEADLESS = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192"
SECRET = Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


def hook(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run the hook as pre-commit does, on those files that its configuration lets through."""
    program, script = HOOK["entry"].split()
    assert program == ".venv/bin/python" and HOOK["language"] == "system"
    wanted = [
        one
        for one in names
        if re.search(HOOK.get("files", ""), one) and not re.search(HOOK["exclude"], one)
    ]
    words = [sys.executable, ROOT / script, *wanted]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("IM0001.dcm", b"", "of this name"),
        ("IM0001.DCM", b"", "of this name"),
        ("tests/data/MR.IMA", b"", "of this name"),
        ("exams/DICOMDIR", b"", "of this name"),
        ("house.KEY", b"", "of this name"),
        ("house.pem", b"", "of this name"),
        ("IM0001", DICOM, "begins as a DICOM file"),
        ("1.2.840.113619.2.66", DICOM, "begins as a DICOM file"),
        ("IM0002", HEADLESS, "begins as a DICOM file"),
        ("signing", SECRET, "a private key"),
    ],
)
def test_patients_and_keys_stay_out(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    done = hook(tmp_path, name)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{name} stays out: ") and told in done.stdout


def test_everything_else_of_the_project_may_stay() -> None:
    """Kept are three broken files that the fuzzer made of phantoms, and nothing like them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    names = [one for one in listed.stdout.split("\0") if (ROOT / one).is_file()]
    assert len(names) > 1000
    done = hook(ROOT, *names)
    assert (done.returncode, done.stdout) == (0, "")
    kept = [one for one in names if re.search(HOOK["exclude"], one)]
    assert kept and all(one.startswith("tests/fuzz/findings/") for one in kept)
