"""Which of the log's outcomes may go to another installation, beside de-identified exams.

The patients of the sealed golden set stay: a release that was trained elsewhere on them
would come back and be judged by what it has learnt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from mammo.continual.split import GOLDEN_SEED, RUN_CONFIG, known_parts
from mammo.data.index import read_index
from mammo.data.split import golden_patients
from mammo.errors import SourceNotFound
from mammo.models.config import TrainConfig
from mammo.pointer import read_pointer
from mammo.prediction_log import PredictionLog
from mammo.release import find_release
from mammo.settings import Settings


@dataclass(frozen=True, eq=False)
class Outgoing:
    """Outcomes that may go, as `PredictionLog.outcomes` has them, and how many stay and why."""

    outcomes: pd.DataFrame
    not_in_folder: int
    patient_unknown: int
    golden: int


def outgoing_outcomes(settings: Settings, exams: Path | None) -> Outgoing:
    """Return the outcomes of exams that have a folder in ``exams``, without golden patients.

    ``exams`` holds PATIENT/EXAM/IMAGE.dcm as `mammo deidentify` writes it here; None is for
    every exam that is scored or taken in. Of another exam nobody can say whether it is golden.

    Raises
    ------
    SourceNotFound
        There is no such folder.
    ReleaseNotFound
        The release in service, which knows the golden patients, is not here.
    """
    log = PredictionLog(settings.log_url).create()
    known = log.outcomes()
    if exams is None:
        patients = _patients_of(settings, log, known["exam_id"])
        beside = known["exam_id"].notna()
    else:
        patients = _folders(exams)
        beside = known["exam_id"].isin(patients)
    patient = known["exam_id"].map(patients)
    golden = patient.isin(sealed_patients(settings, patient.dropna()))
    may_go = beside & patient.notna() & ~golden
    return Outgoing(
        known[may_go].reset_index(drop=True),
        not_in_folder=int((~beside).sum()),
        patient_unknown=int((beside & patient.isna()).sum()),
        golden=int(golden.sum()),
    )


def sealed_patients(settings: Settings, patients: Iterable[str]) -> frozenset[str]:
    """Return the golden patients of the release in service.

    With them those of ``patients`` whom it does not know and the next training will seal.
    Without a release in service nobody is sealed yet.
    """
    pointer = read_pointer(settings.pointer_path)
    if pointer is None:
        return frozenset()
    release = find_release(settings.releases_dir, pointer["release_id"])
    config = TrainConfig.from_dict(json.loads((release / RUN_CONFIG).read_text()))
    known = known_parts(release)
    new = pd.DataFrame({"patient_id": sorted(set(patients) - set(known))}, dtype=object)
    later = golden_patients(new, config.golden_fraction, GOLDEN_SEED)
    return later | {one for one, part in known.items() if part == "golden"}


def _patients_of(settings: Settings, log: PredictionLog, exams: pd.Series) -> dict[str, str]:
    wanted = sorted(set(exams))
    found = log.exam_patients(wanted)
    if settings.index_path.exists():
        among = pc.field("exam_id").isin(wanted)
        rows = read_index(settings.index_path, ["exam_id", "patient_id"], among)
        found |= dict(zip(rows["exam_id"], rows["patient_id"], strict=True))
    return found


def _folders(exams: Path) -> dict[str, str]:
    """Return the patient of each exam that has a folder, both by their pseudonyms."""
    if not exams.is_dir():
        raise SourceNotFound("there is no folder of exams at that path")
    found = (one for one in exams.rglob("E-*") if one.is_dir())
    return {one.name: one.parent.name for one in found}
