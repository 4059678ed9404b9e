"""Puts a release into a Bento, and finds it again.

A Bento holds the project's own wheel, the pinned packages of the ``serve``
extra, the service's code and the release folder, without what only training
reads, with its signature and the public key to that (`mammo.signing` says what
the key is worth). It is built from a small staging folder in a process of its
own, so that neither the checkout nor the packages imported here leak into it.
The version is made of release and code: the same release with the same code is
the same Bento, and is built once. The signature is no part of it, and is brought
up to date in a Bento that is there already.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from bentos.screening.loading import require_signed
from mammo.errors import PackagingFailed, ReleaseNotFound, SignatureInvalid
from mammo.release import FOR_TRAINING, MANIFEST, Release, find_release
from mammo.settings import Settings
from mammo.signing import (
    SIGNATURE,
    SIGNER,
    Signature,
    public_bytes,
    require_signature,
    sign_release,
    trusted_keys,
)

NAME = "screening"
SERVICE = "bentos.screening.service:Screening"
ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 300


@dataclass(frozen=True)
class PackagedRelease:
    """A Bento in the store and the release inside it."""

    tag: str
    release_id: str
    created_at: str
    release_dir: Path


def package_release(release_dir: Path, settings: Settings) -> str:
    """Build the Bento of a release, unless the store has it; return its tag.

    Raises ReleaseNotFound, SignatureInvalid, DigestMismatch and PackagingFailed.
    """
    release = Release.read(release_dir, verify=True)
    if settings.require_signature:
        require_signed(release_dir, settings)
    with tempfile.TemporaryDirectory(prefix="mammo-bento-") as folder:
        staging = Path(folder)
        wheel = _build_wheel(staging / "wheels")
        code = hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]
        version = f"{release.id}-{code[:8]}"
        tag = f"{NAME}:{version}"
        if all(one.tag != tag for one in list_packaged(settings)):
            _stage(staging, release, release_dir, wheel, code)
            carry_signature(release_dir, staging / "release", settings)
            _build(staging, version, settings)
        else:
            carry_signature(release_dir, find_packaged(settings, tag).release_dir, settings)
    return tag


def sign_packaged(release_id: str, settings: Settings) -> Signature:
    """Sign a release that was made here, and its Bentos; the service tries it again by itself.

    Raises ReleaseNotFound and DigestMismatch: what was changed is not signed.
    """
    directory = find_release(settings.releases_dir, release_id)
    release = Release.read(directory, verify=True)
    signature = sign_release(directory, release.id, release.digest, settings.keys_dir)
    for one in list_packaged(settings):
        if one.release_id == release_id:
            carry_signature(directory, one.release_dir, settings)
    return signature


def carry_signature(release_dir: Path, embedded: Path, settings: Settings) -> None:
    """Put a release's signature into a Bento's folder, and the public key that it was made with.

    Nothing of a release without a signature, or with one that is not trusted here.
    """
    trusted = trusted_keys(settings.keys_dir)
    release = Release.read(release_dir)
    try:
        signed = require_signature(release_dir, release.id, release.compute_digest(), trusted)
    except SignatureInvalid:
        if settings.require_signature:
            raise
        return
    (embedded / SIGNER).write_bytes(public_bytes(trusted[signed.key]))
    draft = embedded / f".{SIGNATURE}.{os.getpid()}"
    shutil.copyfile(release_dir / SIGNATURE, draft)
    draft.replace(embedded / SIGNATURE)  # last: a service that follows looks at its time


def list_packaged(settings: Settings) -> list[PackagedRelease]:
    """Return the Bentos in the store that hold a release, oldest first.

    Reads the store's own description files: importing BentoML takes seconds.
    """
    found = []
    for path in (settings.bentoml_home / "bentos" / NAME).glob("*/bento.yaml"):
        bento = yaml.safe_load(path.read_text())
        if release_id := (bento.get("labels") or {}).get("release"):
            tag, created = f"{NAME}:{bento['version']}", str(bento["creation_time"])
            embedded = (path.parent / "src" / "release").resolve()
            found.append(PackagedRelease(tag, release_id, created, embedded))
    return sorted(found, key=lambda one: one.created_at)


def find_packaged(settings: Settings, wanted: str | None = None) -> PackagedRelease:
    """Return the newest Bento of a release id or tag, or the newest of all.

    Raises ReleaseNotFound.
    """
    packaged = list_packaged(settings)
    fitting = [one for one in packaged if wanted in (None, one.release_id, one.tag)]
    if not fitting:
        have = ", ".join(one.release_id for one in packaged[-5:]) or "none yet"
        raise ReleaseNotFound(
            f"No Bento of {wanted or 'any release'} is in the store (packaged: {have}). "
            f"`mammo package {wanted or 'RELEASE'}` builds one."
        )
    return fitting[-1]


def pinned_requirements(extra: str = "serve") -> list[str]:
    """Return every package that mammo needs with ``extra``, at the version installed here."""
    pins: dict[str, str] = {}
    for name in _closure("mammo", extra):
        if name != "mammo":
            pins[name] = f"{name}=={metadata.version(name)}"
    return [pins[name] for name in sorted(pins)]


def _closure(root: str, extra: str) -> Iterator[str]:
    """Yield the names of ``root`` and all it needs, each once."""
    waiting, seen = [(root, extra)], set[tuple[str, str]]()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        yield name
        for text in metadata.requires(name) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": wanted}):
                key = needed.name.lower().replace("_", "-")
                waiting += [(key, one) for one in ("", *needed.extras)]


def _build_wheel(folder: Path) -> Path:
    """Build the project's wheel; the same code gives the same bytes."""
    if not (ROOT / "pyproject.toml").is_file():
        raise PackagingFailed(
            "The project's own wheel is built from its checkout, and this is an installed copy. "
            "Package where the checkout is."
        )
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    return next(folder.glob("*.whl"))


def _stage(staging: Path, release: Release, release_dir: Path, wheel: Path, code: str) -> None:
    """Lay out what goes into the Bento."""
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "bentos", staging / "bentos", ignore=skip)
    (staging / "release").mkdir()
    for name in (MANIFEST, *(one for one in release.files if one not in FOR_TRAINING)):
        shutil.copy2(release_dir / name, staging / "release" / name)
    (staging / "requirements.txt").write_text("\n".join(pinned_requirements()) + "\n")
    description = {
        "service": SERVICE,
        "name": NAME,
        "description": f"Release {release.id}, {release.kind}, target {release.target}.",
        "labels": {"release": release.id, "code": code, "data_version": release.data_version},
        "include": ["bentos/", "release/"],
        "python": {
            "requirements_txt": "./requirements.txt",
            "wheels": [f"./wheels/{wheel.name}"],
            "lock_packages": False,
        },
    }
    (staging / "bentofile.yaml").write_text(yaml.safe_dump(description))


def _build(staging: Path, version: str, settings: Settings) -> None:
    """Let BentoML build from the staging folder into this installation's store."""
    settings.bentoml_home.mkdir(parents=True, exist_ok=True)
    # the service's module reads settings as it is imported; those of the build are enough
    environment = settings.child_environment() | {"PYTHONPATH": str(staging)}
    command = [sys.executable, "-m", "bentoml", "build", "--version", version, str(staging)]
    _run(command, staging, environment)


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment or dict(os.environ),
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise PackagingFailed(f"{command[2]} {command[3]} ended with {done.returncode}: {last}")
