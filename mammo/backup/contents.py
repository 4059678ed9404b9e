"""What of ``MAMMO_HOME`` is state, in which order it is copied, and what of it is secret.

What refers is copied before what it refers to, and what is emptied into something
else before that: a prediction leaves the spool for the log, so the spool is copied
first and a prediction may be in both copies (its request is logged once) and never
in neither. The gateway's book and the jobs go before the log for the same reason:
an exam that is taken up again after a restore is scored under the same request.

An installation that runs makes new things while it is copied. So the home is walked
anew for each of the `STAGES`: what a pointer, a book or a database names was there
before it was named, and is found by the walk that comes after the copy of that name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

BEFORE = ("spool", "jobs", "gateway/gateway.sqlite")
"""What is emptied into the log, and the book that names the gateway's files; the first stage."""

GATEWAY = ("gateway",)
"""The files that wait to be sent: removed once they are, so they are copied soon after the book."""

POINTERS = ("pointer.json", "data/versions.json")
DATABASES = ("log.db", "mlflow/mlflow.db", "prefect/prefect.db")
"""What names releases, data versions and artifacts; servers are dumped after these."""

STAGES = (BEFORE, GATEWAY, (*POINTERS, *DATABASES), ("",))
"""Copied in this order, and in the order within each; the last is all the rest."""

TRANSIENT = (
    *("logs", "locks", "workers", "arriving", "stack.json"),
    *("*.lock", "*.draft-*", ".draft-*", "*.pyc"),
    *("*-wal", "*-shm", "*-journal", "gateway/alive", "gateway/drafts", "data/staging"),
    *("data/.dvc/tmp", "data/.dvc/site", "bentoml/tmp", "bentoml/prometheus_multiproc_dir"),
)
"""Not state: output, locks, drafts, requests that come, SQLite's journals, caches.

The copy of a database holds what its journal held.
"""

SECRETS = ("pseudonym.key", "audit/audit.key", "keys/*.key", "keys/*private*", "peers.yaml")
"""Keys and, in ``peers.yaml``, passwords. Of tokens there are only digests (``tokens.json``)."""

APPENDED = ("spool/*.jsonl", "audit/audit.jsonl")
"""Logs that lines are added to; the last may be half a line, which is written again or mended.

Other files of lines are written once, and their last line may lack its newline.
"""

SQLITE_HEADER = b"SQLite format 3\0"


@dataclass(frozen=True)
class Found:
    """A file, link or folder of the home; ``path`` is relative, with slashes."""

    path: str
    kind: str
    status: os.stat_result

    @property
    def mode(self) -> int:
        """Permission bits."""
        return stat.S_IMODE(self.status.st_mode)


def matches(path: str, patterns: Sequence[str]) -> bool:
    """True when the path, a folder above it, or its name is one of the patterns."""
    pure = PurePosixPath(path)
    whole = [str(pure), *(str(one) for one in pure.parents)]
    return any(
        fnmatch(pure.name, one) or any(fnmatch(each, one) for each in whole) for one in patterns
    )


def is_secret(path: str) -> bool:
    """True for a key or a file with passwords."""
    return any(fnmatch(path, one) for one in SECRETS)


def is_appended(path: str) -> bool:
    """True for a log of lines that grows while it is copied."""
    return any(fnmatch(path, one) for one in APPENDED)


def stage_of(found: Found) -> int:
    """Return which of `STAGES` a file belongs to, or a folder with what is in it.

    A folder above belongs to the last stage, and is made with the first file that needs it.
    """
    return next(
        number for number, paths in enumerate(STAGES) if any(_is_at(found, one) for one in paths)
    )


def _is_at(found: Found, place: str) -> bool:
    return not place or f"{found.path}/".startswith(f"{place}/")


def is_sqlite(path: Path) -> bool:
    """True for a file that begins as SQLite's do; an empty file is none."""
    with path.open("rb") as stream:
        return stream.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def find_contents(home: Path, without: Sequence[str] = ()) -> list[Found]:
    """Return what of the home is state: folders, then files in the order to copy them in.

    ``without`` has names of top-level folders or patterns to leave out besides.
    Sockets, pipes and devices are no state. A link that leads out of the home is found as
    what it leads to: a log or data on another disk. One that cannot be followed stays a link.
    """
    above = frozenset(_identity(one.stat()) for one in (home, *home.parents))
    return sorted(_walk(home, "", (*TRANSIENT, *without), above), key=_place)


def leads_out(home: Path, path: str) -> bool:
    """True for a link whose target is not in a copy of the home."""
    link = home / path
    target = link.readlink()
    named = Path(os.path.normpath(link.parent / target))
    within, here = named.is_relative_to(home), _behind(link)
    if target.is_absolute() or (here is None and not within):
        return not Path(os.path.realpath(link)).is_relative_to(home)
    # in a folder that is a link itself, ".." is another one than in the copy
    there = _behind(named) if within else None
    return here is not None and not (there is not None and os.path.samestat(here, there))


def _place(found: Found) -> tuple[int, str]:
    if found.kind == "folder":
        return -1, found.path
    first = [one for stage in STAGES for one in stage]
    return next(n for n, one in enumerate(first) if _is_at(found, one)), found.path


NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
DOES_NOT_ANSWER = (errno.ENOTCONN, errno.ESTALE, errno.EIO, errno.EHOSTDOWN)
"""What a link to a disk fails with that is not mounted, or whose server is gone."""


def _behind(link: Path) -> os.stat_result | None:
    try:
        return link.stat()
    except OSError as error:
        if error.errno in (*NOT_THERE, *DOES_NOT_ANSWER):
            return None
        raise


Identities = frozenset[tuple[int, int]]
"""Folders by device and inode: those that a walk is in, through links, too."""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _walk(home: Path, below: str, without: Sequence[str], above: Identities) -> Iterator[Found]:
    with os.scandir(home / below) as entries:
        named = sorted(entries, key=lambda one: one.name)
    for entry in named:
        path = f"{below}/{entry.name}".lstrip("/")
        # a pattern for names meets folders, too (`.draft-*`): then nothing in it is looked at
        if matches(path, without):
            continue
        found = _found(home, entry, path, above)
        if found is None:
            continue
        yield found
        if found.kind == "folder":
            yield from _walk(home, path, without, above | _folders_of(entry))


def _folders_of(entry: os.DirEntry[str]) -> Identities:
    """Return the folder that is walked next; of a link, those above its target, too."""
    real = Path(os.path.realpath(entry.path))
    folders = (real, *real.parents) if entry.is_symlink() else (real,)
    return frozenset(_identity(one.stat()) for one in folders)


def _found(home: Path, entry: os.DirEntry[str], path: str, above: Identities) -> Found | None:
    try:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode) and leads_out(home, path):
            status = _followed(entry, above) or status
    except FileNotFoundError:  # a draft that was moved to its place meanwhile
        return None
    kinds = ((stat.S_ISLNK, "link"), (stat.S_ISDIR, "folder"), (stat.S_ISREG, "file"))
    kind = next((name for is_one, name in kinds if is_one(status.st_mode)), None)
    return Found(path, kind, status) if kind else None


def _followed(link: os.DirEntry[str], above: Identities) -> os.stat_result | None:
    """Return the state of what is behind a link; None where nothing is, or the walk itself."""
    status = _behind(Path(link.path))
    return None if status is None or _identity(status) in above else status
