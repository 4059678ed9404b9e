"""Write THIRD_PARTY_NOTICES.md: the licence of everything that requirements.lock names.

python deploy/setup/third_party_notices.py            # write the file
python deploy/setup/third_party_notices.py --check    # status 1 when it would be another

Licences come from the installed packages' own metadata. A few packages of the lock are
not installed here (other machines' libraries, extras that stay apart); theirs stand in
`ELSEWHERE`: half of them were read from the same metadata, the others (most of NVIDIA's) are
what their makers say elsewhere, to be checked by who distributes them. Run it in the environment of
`make setup`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NOTICES = ROOT / "THIRD_PARTY_NOTICES.md"
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
ELSEWHERE = {
    "atheris": "Apache-2.0",
    "cuda-bindings": NVIDIA,
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": NVIDIA,
    "imageio": "BSD-2-Clause",
    "jupytext": "MIT",
    "lazy-loader": "BSD-3-Clause",
    "mdit-py-plugins": "MIT",
    "nvidia-cublas": NVIDIA,
    "nvidia-cuda-cupti": NVIDIA,
    "nvidia-cuda-nvrtc": NVIDIA,
    "nvidia-cuda-runtime": NVIDIA,
    "nvidia-cudnn-cu13": NVIDIA,
    "nvidia-cufft": NVIDIA,
    "nvidia-cufile": NVIDIA,
    "nvidia-curand": NVIDIA,
    "nvidia-cusolver": NVIDIA,
    "nvidia-cusparse": NVIDIA,
    "nvidia-cusparselt-cu13": NVIDIA,
    "nvidia-nccl-cu13": "BSD-3-Clause",
    "nvidia-nvjitlink": NVIDIA,
    "nvidia-nvshmem-cu13": NVIDIA,
    "nvidia-nvtx": "Apache-2.0",
    "pylibjpeg": "MIT",
    "pylibjpeg-libjpeg": "GPL-3.0-only",
    "pylibjpeg-openjpeg": "MIT",
    "pylibjpeg-rle": "MIT",
    "python-gdcm": "Apache-2.0",
    "scikit-image": "BSD-3-Clause",
    "tifffile": "BSD-3-Clause",
    "triton": "MIT",
}
SAME = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "BSD License": "BSD",
    "3-Clause BSD License": "BSD-3-Clause",
    "FreeBSD": "BSD-2-Clause",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "Python Software Foundation License": "PSF-2.0",
    "Zope Public License": "ZPL-2.1",
}
FROM_TEXT = (
    ("Permission is hereby granted, free of charge", "MIT"),
    ("Apache License", "Apache-2.0"),
    ("Redistribution and use in source and binary forms", "BSD"),
)
STRONG = re.compile(r"GPL|EPL|Proprietary", re.IGNORECASE)
"""Licences that ask for more than to be named; each is told apart, with where it comes in."""

HEAD = """# Third-party notices

mammo is under Apache-2.0 ([LICENSE](LICENSE)). It uses what is listed here, each under its own
licence. Made by `python deploy/setup/third_party_notices.py` from the packages' own metadata and
[requirements.lock](requirements.lock), which has the versions; a test fails when a pin has no line
here. The viewer's bundle brings
[its own list](bentos/screening/viewer/dist/THIRD_PARTY.txt).

## Not as free as the rest

- **`ultralytics`, `ultralytics-thop`, `ultralytics-platform` (AGPL-3.0)** come with the extra
  `yolo` alone, which no other extra asks for. Who lets others use a program with it over a network
  owes them its whole source under AGPL-3.0, or has a licence from its makers. Leave the extra out,
  and Faster R-CNN and SSD are there all the same.
- **`pylibjpeg-libjpeg` (GPL-3.0)** comes with the extra `bench` alone: measured against, never
  imported by mammo.
- **`nvidia-*` and `cuda-*`** come with PyTorch's build for GPUs, under NVIDIA's own terms.
- The packages of this kind, and which extras bring them:

"""
MIDDLE = """
`grandalf` and `pygit2` come with DVC, by which mammo keeps data versions; `pygit2` has an exception
for linking. Where licences are offered to choose from (`OR`), the freer is taken.

## Everything

"""


def pins(lock: str) -> list[str]:
    """Return the names that a lock pins, sorted."""
    found = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==", lock, re.MULTILINE)
    return sorted({canonicalize_name(one) for one in found})


def licence(name: str) -> str:
    """Return a package's licence.

    Raises
    ------
    SystemExit
        It is not installed and not in `ELSEWHERE`, or says nothing of a licence.
    """
    try:
        package = distribution(name)
    except PackageNotFoundError:
        if name in ELSEWHERE:
            return ELSEWHERE[name]
        raise SystemExit(f"{name} is not installed: make setup, or name it in ELSEWHERE") from None
    told = next((one for one in _told(package) if one), "")
    if not told:
        raise SystemExit(f"{name} says nothing of its licence: read it, name it in ELSEWHERE")
    return ", ".join(SAME.get(one, one) for one in told.split(", "))


def _told(package: Distribution) -> Iterator[str]:
    """Yield what a package says of its licence, the most exact first."""
    data = package.metadata
    yield data.get("License-Expression") or ""
    kinds = [one.split("::") for one in data.get_all("Classifier") or []]
    named = [one[-1].strip() for one in kinds if one[0].strip() == "License" and len(one) > 1]
    yield ", ".join(one for one in named if one != "OSI Approved")
    short = (data.get("License") or "").strip().split("\n")[0]
    yield short if short.upper() != "UNKNOWN" and len(short) < 60 else ""
    yield next(_of_files(package), "")


def _of_files(package: Distribution) -> Iterator[str]:
    for file in package.files or []:
        if "LICENSE" in file.name.upper() and "dist-info" in str(file):
            text = Path(str(package.locate_file(file))).read_text(errors="replace")
            yield from (kind for words, kind in FROM_TEXT if words in text)


def brought_by(project: dict) -> dict[str, list[str]]:
    """Return for each package the extras that bring it; ``always`` for the core."""
    asked = {"always": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, list[str]] = {}
    for extra, requirements in asked.items():
        for name in sorted(_closure(map(Requirement, requirements))):
            found.setdefault(name, []).append(extra)
    return {name: ["always"] if "always" in by else by for name, by in found.items()}


def _closure(asked: Iterable[Requirement]) -> set[str]:
    """Return the names of what is asked for and of all that it needs in turn."""
    left, seen = list(asked), set()
    while left:
        one = left.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        left += [need for need in _needs(one) if _applies(need, one.extras)]
    return {name for name, _ in seen}


def _needs(one: Requirement) -> list[Requirement]:
    try:
        return [Requirement(need) for need in distribution(one.name).requires or []]
    except PackageNotFoundError:
        return []  # what it needs is brought by the lock all the same


def _applies(need: Requirement, extras: set[str]) -> bool:
    marker = need.marker
    return marker is None or any(marker.evaluate({"extra": one}) for one in {"", *extras})


def write() -> str:
    """Return the whole file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    by = brought_by(project)
    names = pins((ROOT / "requirements.lock").read_text())
    lines = {name: f"| {name} | {licence(name)} | {_extras(by.get(name))} |" for name in names}
    head = "| package | licence | comes with |\n|---|---|---|\n"
    strong = [lines[name] for name in names if STRONG.search(licence(name))]
    return HEAD + head + "\n".join(strong) + "\n" + MIDDLE + head + "\n".join(lines.values()) + "\n"


def _extras(by: list[str] | None) -> str:
    return ", ".join(by) if by else "another package, on some machines"


if __name__ == "__main__":
    wanted = write()
    if "--check" in sys.argv:
        same = NOTICES.is_file() and NOTICES.read_text() == wanted
        sys.exit(
            0 if same else f"{NOTICES.name} is not as it would be written: run without --check"
        )
    NOTICES.write_text(wanted)
