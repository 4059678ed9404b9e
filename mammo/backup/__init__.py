"""Copies of all state of an installation, taken while it runs, and their way back.

A backup is a folder: ``home/`` as it lies in ``MAMMO_HOME`` (SQLite files through
SQLite's online backup, so none is torn), ``databases/`` with a `pg_dump` of each
PostgreSQL database, and ``manifest.json`` with the SHA-256 of every file.
"""

from mammo.backup.manifest import Manifest, read_manifest
from mammo.backup.restore import Restored, require_settled, restore_backup
from mammo.backup.take import Taken, take_backup

__all__ = [
    "Manifest",
    "Restored",
    "Taken",
    "read_manifest",
    "require_settled",
    "restore_backup",
    "take_backup",
]
