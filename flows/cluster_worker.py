"""What a Dask worker tells of itself before it is given shards.

The same function runs in the process that asks, and the two answers are
compared: shards are byte-identical only where code, libraries and the site's
pseudonym key are.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mammo
import mammo.data.ingest  # imported with its digest taken: what runs is what is told
from mammo.errors import ClusterUnfit
from mammo.pseudonym_key import fingerprint
from mammo.settings import Settings

LIBRARIES = (
    "numpy", "opencv-python-headless", "imagecodecs", "pillow", "pydicom", "dicom-anonymizer",
    "prefect", "prefect-dask", "distributed",
)  # fmt: skip
Facts = dict[str, str]


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Taken once: a process goes on with the code it has loaded when files change under it."""
    found = {"mammo": f"{mammo.__version__} (code {_code_digest()})"}
    found["python"] = ".".join(platform.python_version_tuple()[:2])
    return tuple((found | {name: _version(name) for name in LIBRARIES}).items())


def read_versions() -> Facts:
    """Return the version of mammo, with a digest of its code, and of what shapes a shard."""
    return dict(_versions())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _code_digest() -> str:
    folder = Path(mammo.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def require_versions(expected: Facts) -> None:
    """Raise `ClusterUnfit` when this process runs other code; a worker may join during a run."""
    told = explain_versions(read_versions(), expected)
    if told:
        raise ClusterUnfit(f"a worker that joined during the run has {told}")


def explain_versions(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Return what differs, such as ``mammo 0.1.0, not 0.2.0``; empty when nothing does."""
    differing = [name for name in expected if found.get(name) != expected[name]]
    return ", ".join(f"{name} {found.get(name)}, not {expected[name]}" for name in differing)


def answer_visit(visit: Mapping[str, str]) -> dict[str, object]:
    """Return this worker's versions and whether it sees what the asking process sees.

    ``visit`` holds the paths of the store's ``home``, of a ``folder`` in the
    store that has a file ``marker``, and of one file of the source
    (``sample``); and the Prefect API's address (``api``). The answer's
    ``wrote`` names a file that the worker has put beside the marker.
    """
    folder, sample = Path(visit["folder"]), visit["sample"]
    answer: dict[str, object] = {"versions": read_versions(), "store": False, "wrote": ""}
    if not (folder / "marker").is_file():
        return answer
    return answer | {
        "store": True,
        "wrote": _write_beside(folder),
        "source": not sample or Path(sample).is_file(),
        "key": fingerprint(Settings(home=Path(visit["home"])).own_key()),
        "api": not visit["api"] or _reaches(visit["api"]),
    }


def _write_beside(folder: Path) -> str:
    name = f"answer-{uuid.uuid4().hex}"
    try:
        (folder / name).write_bytes(b"")
    except OSError:
        return ""
    return name


def _reaches(api: str) -> bool:
    from flows.stack_services import answers

    return answers(f"{api}/health", timeout=5.0)
