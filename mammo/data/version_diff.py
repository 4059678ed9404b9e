"""What changed between two data versions, in numbers and in words.

Both indexes are read where DVC keeps them, out of core; neither is checked out.
An image is the same image when its pseudonym is; it was prepared anew when its
shard is another, and told anew when one of its labels or facts is.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from mammo.data.index import INDEX_SCHEMA
from mammo.data.query import IndexQuery, open_indexes
from mammo.data.version import find_version, list_versions
from mammo.data.version_files import version_file, version_files
from mammo.settings import Settings

PLACES = frozenset(("image_id", "shard", "shard_row", "geometry", "sha256", "phash"))
"""Columns that say where an image lies, not what is known of it."""
FACTS = tuple(name for name in INDEX_SCHEMA.names if name not in PLACES and name[:2] != "f_")
TOP = 8

_COUNTS = """
SELECT count(*) AS images, count(DISTINCT exam_id) AS exams,
       count(DISTINCT patient_id) AS patients,
       count(*) FILTER (WHERE cancer IS NOT NULL) AS labelled,
       count(DISTINCT patient_id) FILTER (WHERE cancer = 1) AS cancer_patients
FROM {table}
"""
_ONLY = """
SELECT count(*) AS images, count(DISTINCT a.exam_id) AS exams,
       count(DISTINCT a.patient_id) AS patients,
       count(DISTINCT a.patient_id) FILTER (WHERE a.cancer = 1) AS cancer_patients
FROM {table} a ANTI JOIN {other} b USING (image_id)
"""
_BY = """
SELECT coalesce(a.{column}, 'unknown') AS level, count(*) AS images
FROM {table} a ANTI JOIN {other} b USING (image_id)
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {top}
"""
_CHANGED = "SELECT {counts} FROM before b JOIN after a USING (image_id)"


@dataclass(frozen=True)
class VersionDiff:
    """Counts of both versions and of what lies between them.

    ``counts`` has before and after; ``added`` and ``removed`` count images,
    exams, patients and patients with cancer; ``added_by`` and ``removed_by`` the
    images by scanner and by source; ``changed`` the images by column whose value
    is another; ``files`` the files and bytes that the one has and the other not.
    """

    before: str
    after: str
    made_at: tuple[str, str]
    counts: dict[str, dict[str, int]]
    added: dict[str, int]
    removed: dict[str, int]
    added_by: dict[str, dict[str, int]]
    removed_by: dict[str, dict[str, int]]
    changed: dict[str, int]
    prepared_anew: int
    preprocessing: dict[str, tuple[Any, Any]]
    files: dict[str, dict[str, int]]

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as JSON values, with its sentences."""
        return asdict(self) | {"sentences": self.sentences()}

    def sentences(self) -> list[str]:
        """Return the difference in words."""
        told = [self._overall()]
        told += _gone("came in", self.added, self.added_by)
        told += _gone("went out", self.removed, self.removed_by)
        if self.changed:
            parts = ", ".join(f"{name} of {_images(n)}" for name, n in self.changed.items())
            told.append(f"Of the images in both, what is known changed: {parts}.")
        if self.prepared_anew:
            told.append(f"{_images(self.prepared_anew)} in both lie in other shards.")
        told += [
            f"The preprocessing changed: {name} from {old} to {new}."
            for name, (old, new) in self.preprocessing.items()
        ]
        if len(told) == 1 and self.before != self.after:
            told.append("No row of the index differs in what it tells.")
        new, old = self.files["added"], self.files["removed"]
        told.append(
            f"{_files(new['files'])} ({_size(new['bytes'])}) came in, {_files(old['files'])} "
            f"({_size(old['bytes'])}) went out of the version."
        )
        return told

    def _overall(self) -> str:
        if self.before == self.after:
            return f"Both are data version {self.before}: nothing differs."
        old, new = self.counts["before"], self.counts["after"]
        return (
            f"From {self.before} ({self.made_at[0]}) to {self.after} ({self.made_at[1]}): "
            f"{old['images']:,} to {new['images']:,} images, {old['patients']:,} to "
            f"{new['patients']:,} patients, {old['cancer_patients']:,} to "
            f"{new['cancer_patients']:,} of them with cancer; {old['labelled']:,} to "
            f"{new['labelled']:,} images have an outcome."
        )


def diff_versions(settings: Settings, before: str, after: str) -> VersionDiff:
    """Return what changed from one version to another.

    Raises
    ------
    VersionUnknown
        No such version, or its index is not on this machine.
    """
    names = find_version(settings, before), find_version(settings, after)
    index = settings.index_path.name
    paths = [version_file(settings, name, index).cached for name in names]
    made = list_versions(settings)
    with open_indexes(dict(zip(("before", "after"), paths, strict=True)), settings.data_dir) as ask:
        changed = _changes(ask)
        return VersionDiff(
            before=names[0],
            after=names[1],
            made_at=(made[names[0]]["made_at"], made[names[1]]["made_at"]),
            counts={one: _record(ask, _COUNTS.format(table=one)) for one in ("before", "after")},
            added=_record(ask, _ONLY.format(table="after", other="before")),
            removed=_record(ask, _ONLY.format(table="before", other="after")),
            added_by=_mixes(ask, "after", "before"),
            removed_by=_mixes(ask, "before", "after"),
            prepared_anew=changed.pop("shard"),
            changed={name: count for name, count in changed.items() if count},
            preprocessing=_preprocessing(settings, *names),
            files=_files_between(settings, *names),
        )


def _record(ask: IndexQuery, sql: str) -> dict[str, int]:
    frame = ask.frame(sql)
    return {str(name): int(frame[name].iloc[0]) for name in frame.columns}


def _mixes(ask: IndexQuery, table: str, other: str) -> dict[str, dict[str, int]]:
    found = {}
    for column in ("scanner", "source"):
        frame = ask.frame(_BY.format(column=column, table=table, other=other, top=TOP))
        found[column] = dict(zip(frame["level"], map(int, frame["images"]), strict=True))
    return found


def _changes(ask: IndexQuery) -> dict[str, int]:
    counts = ", ".join(
        f'count(*) FILTER (WHERE a."{name}" IS DISTINCT FROM b."{name}") AS "{name}"'
        for name in (*FACTS, "shard")
    )
    return _record(ask, _CHANGED.format(counts=counts))


def _preprocessing(settings: Settings, *names: str) -> dict[str, tuple[Any, Any]]:
    old, new = (
        json.loads(version_file(settings, name, "preprocess.json").cached.read_text())
        for name in names
    )
    keys = sorted({*old, *new})
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _files_between(settings: Settings, *names: str) -> dict[str, dict[str, int]]:
    old, new = ({file.md5: file for file in version_files(settings, name)} for name in names)
    return {
        what: {
            "files": len(ours.keys() - theirs.keys()),
            "bytes": sum(ours[md5].size_bytes or 0 for md5 in ours.keys() - theirs.keys()),
        }
        for what, ours, theirs in (("added", new, old), ("removed", old, new))
    }


def _gone(what: str, counts: dict[str, int], by: dict[str, dict[str, int]]) -> list[str]:
    if not counts["images"]:
        return []
    mix = "; ".join(
        f"{column}: " + ", ".join(f"{level} {n:,}" for level, n in levels.items())
        for column, levels in by.items()
    )
    return [
        f"{_images(counts['images'])} of {_many(counts['exams'], 'exam')} and "
        f"{_many(counts['patients'], 'patient')} ({counts['cancer_patients']:,} with cancer) "
        f"{what} ({mix})."
    ]


def _images(count: int) -> str:
    return _many(count, "image")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _files(count: int) -> str:
    return _many(count, "file")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
