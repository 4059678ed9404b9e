"""A reference that is missing, empty or of another release is never compared with."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from mammo.errors import DigestMismatch, ReleaseNotFound
from mammo.pointer import read_pointer
from mammo.release import MANIFEST, file_sha256
from monitoring.release_reference import read_reference
from tests.bentos.releases import write_release


def put_manifest(hospital, folder, release_id, digest):
    """Write the manifest of a real release that names ``digest`` for its reference."""
    made = write_release(hospital.settings.home / "made", "r-made")
    manifest = json.loads((made / MANIFEST).read_text())
    manifest |= {"id": release_id, "files": {"reference.parquet": digest}}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_exams_come_in_order_of_acquisition(hospital):
    folder = hospital.release()
    put_manifest(hospital, folder, "r-1", file_sha256(folder / "reference.parquet"))
    frame = read_reference(read_pointer(hospital.settings.pointer_path), hospital.settings)
    assert frame["acquired_on"].is_monotonic_increasing
    assert len(frame) == 120


@pytest.mark.parametrize(
    ("name", "digest"), [("r-1", "0" * 64), ("r-2", None)], ids=["other exams", "other release"]
)
def test_a_reference_of_another_release_is_refused(hospital, name, digest):
    folder = hospital.release()
    put_manifest(hospital, folder, name, digest or file_sha256(folder / "reference.parquet"))
    hospital.stream(3)
    with pytest.raises(DigestMismatch, match="is of another release"):
        hospital.monitor()
    assert hospital.log.episodes() == []
    assert hospital.log.watermark("monitor").last_id == 0


@pytest.mark.parametrize("rows", [None, 0], ids=["no file", "no exam"])
def test_nothing_to_compare_with_is_told(hospital, rows):
    path = hospital.release() / "reference.parquet"
    frame = pd.read_parquet(path)
    path.unlink()
    if rows is not None:
        frame.iloc[:0].to_parquet(path)
    with pytest.raises(ReleaseNotFound, match="nothing to compare with"):
        hospital.monitor()
