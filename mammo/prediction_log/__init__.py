"""The prediction log: what was predicted, what became of it, what was done about it.

Append-only SQL tables (SQLite in WAL mode by default, PostgreSQL by URL):

- ``predictions``  one row per breast and one per exam and scoring
- ``outcomes``     results that come weeks or years later
- ``episodes``     drift episodes; a unique key, so one action however often the alarm repeats
- ``watermarks``   how far each reader has read, with its state
- ``changes``      one record per release put into service
- ``gates``        every look at the sealed golden set, what it spent and what came out
- ``approvals``    a person's word on a release that the gate could not tell enough of
- ``trial_failures``  exams that a release on trial could not score
- ``failed_requests``  requests for a score that failed, for the list of past exams

An answered prediction is durable: ``append_scoring`` returns after the commit has
reached the disk, and `DurableLog` keeps it in a spool while the database cannot.
Service, monitor and flows write at the same time; writers queue on the
database's own lock, so ids rise in the order of commits and a reader that goes
on from ``last_id`` misses nothing.
"""

from mammo.prediction_log.durable import DurableLog
from mammo.prediction_log.frames import (
    EMBEDDING_NAMES,
    EMBEDDING_SIZE,
    exam_frame,
    label_breasts,
    label_exams,
)
from mammo.prediction_log.log import PredictionLog
from mammo.prediction_log.loop_state import Watermark
from mammo.prediction_log.spool import Spool
from mammo.prediction_log.tables import to_utc

__all__ = [
    "EMBEDDING_NAMES",
    "EMBEDDING_SIZE",
    "DurableLog",
    "PredictionLog",
    "Spool",
    "Watermark",
    "exam_frame",
    "label_breasts",
    "label_exams",
    "to_utc",
]
