from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammo.data import ingest as ingest_module
from mammo.data import plan as plan_module
from mammo.data import preparation as preparation_module
from mammo.data import worker as worker_module
from mammo.data.index import read_index
from mammo.data.ingest import commit_ingest, ingest, plan_ingest, prepare_shard
from mammo.data.quarantine import read_quarantine
from mammo.data.shards import ShardReader
from mammo.data.version import current_version, list_versions
from mammo.data.version_files import checkout_version
from mammo.errors import SettingsInvalid, SourceInvalid, VersionUnknown
from mammo.preprocess import Geometry, PreprocessConfig
from mammo.settings import Settings

StoreFiles = Callable[[Settings], dict[str, bytes]]
CT = "1.2.840.10008.5.1.4.1.1.2"


def test_rsna_set_goes_into_the_index(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    seen: list[tuple[int, int]] = []
    report = ingest("rsna", rsna_set, settings, config, progress=lambda *step: seen.append(step))
    index = read_index(settings.index_path)
    assert (report.found, report.added, report.index_rows) == (12, 12, 12)
    assert report.quarantined == []
    assert (seen[0], seen[-1]) == ((1, 12), (12, 12))
    assert index["cancer"].sum() == 6
    assert index["patient_id"].nunique() == index["exam_id"].nunique() == 6
    assert len(report.data_version) == 12
    json.dumps(report.to_dict())


def test_shards_hold_the_pixels_of_their_rows(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    plan = plan_ingest("rsna", rsna_set, settings, config, shard_size=5)
    assert [len(job.items) for job in plan.jobs] == [5, 5, 2]
    commit_ingest(plan, [prepare_shard(job) for job in plan.jobs])
    index, reader = read_index(settings.index_path), ShardReader(settings.shards_dir)
    assert index["shard"].nunique() == 3
    for row in index.itertuples():
        pixels = reader.row(row.shard, row.shard_row)
        assert (pixels.shape, pixels.dtype) == ((64, 32), np.uint16)
        assert pixels.max() > 0
        geometry = Geometry.from_dict(json.loads(row.geometry))
        assert (geometry.rows, geometry.columns) == (160, 120)


def test_same_files_again_change_nothing(
    rsna_set: Path,
    settings: Settings,
    config: PreprocessConfig,
    make_dicom: Callable[..., Path],
    store_files: StoreFiles,
) -> None:
    make_dicom(rsna_set / "train_images/1/1010.dcm", 1010, Modality="CT", SOPClassUID=CT)
    first = ingest("rsna", rsna_set, settings, config)
    before, kept = store_files(settings), read_quarantine(settings.quarantine_dir)
    again = ingest("rsna", rsna_set, settings, config)
    assert (again.added, again.known, again.index_rows) == (0, 11, 11)
    assert again.data_version == first.data_version
    assert [(r.code, r.new) for r in first.quarantined] == [("NOT_MAMMOGRAPHY", True)]
    assert [(r.code, r.new) for r in again.quarantined] == [("NOT_MAMMOGRAPHY", False)]
    assert store_files(settings) == before
    assert read_quarantine(settings.quarantine_dir) == kept
    assert list(list_versions(settings)) == [first.data_version]


def test_same_files_under_other_names_are_known(
    rsna_set: Path, settings: Settings, config: PreprocessConfig, tmp_path: Path
) -> None:
    first = ingest("rsna", rsna_set, settings, config)
    other = tmp_path / "other"
    other.mkdir()
    for path in rsna_set.rglob("*.dcm"):
        (other / f"a-{path.name}").write_bytes(path.read_bytes())
        (other / f"b-{path.name}").write_bytes(path.read_bytes())
    again = ingest("dicom", other, settings, config)
    assert (again.found, again.known, again.added) == (24, 24, 0)
    assert again.data_version == first.data_version


def test_repeated_files_within_a_source_are_counted(
    settings: Settings, config: PreprocessConfig, tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    path = make_dicom(tmp_path / "in/a.dcm", 1)
    (tmp_path / "in/b.dcm").write_bytes(path.read_bytes())
    report = ingest("dicom", tmp_path / "in", settings, config)
    assert (report.found, report.added, report.duplicates) == (2, 1, 1)


def test_more_data_adds_to_the_index(
    rsna_set: Path, mias_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    first = ingest("rsna", rsna_set, settings, config)
    second = ingest("mini-mias", mias_set, settings, config)
    assert (second.added, second.index_rows) == (4, 16)
    assert first.data_version != second.data_version
    assert read_index(settings.index_path)["source"].value_counts().to_dict() == {
        "rsna": 12, "mini-mias": 4
    }  # fmt: skip


# --- bad files


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "EMPTY_FILE"), (b"\x89PNG\r\n\x1a\n" + b"\0" * 500, "NOT_DICOM")],
)
def test_bad_file_goes_to_quarantine_and_the_run_goes_on(
    content: bytes,
    code: str,
    settings: Settings,
    config: PreprocessConfig,
    tmp_path: Path,
    make_dicom: Callable[..., Path],
) -> None:
    make_dicom(tmp_path / "in/good.dcm", 1)
    (tmp_path / "in/bad.dcm").write_bytes(content)
    report = ingest("dicom", tmp_path / "in", settings, config)
    (record,) = report.quarantined
    assert (report.added, record.file, record.code) == (1, "bad.dcm", code)
    assert (settings.quarantine_dir / f"{record.sha256}.dcm").read_bytes() == content
    assert read_quarantine(settings.quarantine_dir)[0].code == code
    assert settings.quarantine_dir.stat().st_mode & 0o077 == 0


def test_truncated_file_tells_no_name(
    settings: Settings, config: PreprocessConfig, tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    path = make_dicom(tmp_path / "in/Doe_Jane/cut.dcm", 1)
    path.write_bytes(path.read_bytes()[:-5000])
    report = ingest("dicom", tmp_path / "in", settings, config)
    told = (settings.quarantine_dir / f"{report.quarantined[0].sha256}.json").read_text()
    assert report.quarantined[0].code == "DICOM_TRUNCATED"
    assert report.index_rows == 0
    assert not any(part in told for part in ("Doe", "Jane", "patient-1", "1.2.3.4"))


def test_unforeseen_failure_tells_its_class_and_no_text(
    rsna_set: Path, settings: Settings, config: PreprocessConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("Doe^Jane")

    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "prepare", fail)
        report = ingest("rsna", rsna_set, settings, config, processes=0)
    assert {record.code for record in report.quarantined} == {"UNREADABLE"}
    assert "LookupError" in report.quarantined[0].message
    assert "Doe" not in str(report.to_dict())
    mended = ingest("rsna", rsna_set, settings, config)
    assert (mended.added, mended.quarantined) == (12, [])
    assert read_quarantine(settings.quarantine_dir) == []


def test_file_that_cannot_be_opened_is_reported(
    rsna_set: Path, settings: Settings, config: PreprocessConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object, path: Path) -> str:
        if path.name == "1010.dcm":
            raise PermissionError(13, "Permission denied", str(path))
        return original(_, path)

    original = plan_module.FileDigests.digest
    monkeypatch.setattr(plan_module.FileDigests, "digest", refuse)
    report = ingest("rsna", rsna_set, settings, config)
    assert [(r.file, r.code) for r in report.quarantined] == [("1010.dcm", "UNREADABLE")]
    assert report.added == 11


def test_linked_folder_is_in_the_report_each_time_and_not_kept(
    settings: Settings, config: PreprocessConfig, tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    make_dicom(tmp_path / "in/a.dcm", 1)
    make_dicom(tmp_path / "elsewhere/b.dcm", 2)
    (tmp_path / "in/linked").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        report = ingest("dicom", tmp_path / "in", settings, config, processes=0)
        assert [(r.file, r.code) for r in report.quarantined] == [("linked", "UNREADABLE")]
    assert (report.found, report.known) == (1, 1)
    assert read_quarantine(settings.quarantine_dir) == []


def test_another_file_of_the_same_image_is_refused(
    settings: Settings,
    config: PreprocessConfig,
    tmp_path: Path,
    make_dicom: Callable[..., Path],
    store_files: StoreFiles,
) -> None:
    make_dicom(tmp_path / "one/a.dcm", 1, SOPInstanceUID="1.2.3")
    make_dicom(tmp_path / "two/a.dcm", 2, SOPInstanceUID="1.2.3")
    ingest("dicom", tmp_path / "one", settings, config)
    before = store_files(settings)
    report = ingest("dicom", tmp_path / "two", settings, config)
    assert [record.code for record in report.quarantined] == ["DUPLICATE_IMAGE"]
    assert store_files(settings) == before


def test_missing_files_of_the_table_are_reported(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    (rsna_set / "train_images/2/1020.dcm").unlink()
    report = ingest("rsna", rsna_set, settings, config)
    assert (report.added, report.missing) == (11, ["1020.dcm (line 4 of train.csv)"])


def test_other_preprocessing_is_refused_with_the_way_out(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    ingest("rsna", rsna_set, settings, config)
    with pytest.raises(SourceInvalid, match=r"at 64x32 and these would be at 128x64.*MAMMO_HOME"):
        ingest("rsna", rsna_set, settings, PreprocessConfig(height=128, width=64))


# --- interruptions


def test_interrupted_before_commit_does_no_work_twice(
    rsna_set: Path, settings: Settings, config: PreprocessConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_ingest("rsna", rsna_set, settings, config)
    first = prepare_shard(plan.jobs[0])
    monkeypatch.setattr(preparation_module, "prepare_file", None)
    again = prepare_shard(plan_ingest("rsna", rsna_set, settings, config).jobs[0])
    assert again == first
    assert commit_ingest(plan, [again]).added == 12


def test_commit_cut_off_after_the_shards_were_moved(
    rsna_set: Path, settings: Settings, config: PreprocessConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_ingest("rsna", rsna_set, settings, config, shard_size=4)
    results = [prepare_shard(job) for job in plan.jobs]
    with monkeypatch.context() as patch:
        patch.setattr("mammo.data.store.extend_index", _stop)
        with pytest.raises(KeyboardInterrupt):
            commit_ingest(plan, results)
    assert not settings.index_path.exists()
    report = ingest("rsna", rsna_set, settings, config)
    assert report.index_rows == 12
    shards = {path.stem for path in settings.shards_dir.glob("*.npy")}
    assert shards == set(read_index(settings.index_path)["shard"])


def test_commit_cut_off_before_the_version(
    rsna_set: Path, settings: Settings, config: PreprocessConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "snapshot_store", _stop)
        with pytest.raises(KeyboardInterrupt):
            ingest("rsna", rsna_set, settings, config)
    assert current_version(settings) == ""
    report = ingest("rsna", rsna_set, settings, config)
    assert (report.added, report.known, report.data_version) == (0, 12, current_version(settings))


def test_commit_cut_off_before_what_was_read_has_left_quarantine(
    settings: Settings,
    config: PreprocessConfig,
    tmp_path: Path,
    make_dicom: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_dicom(tmp_path / "in/a.dcm", 1)
    make_dicom(tmp_path / "in/b.dcm", 2, Modality="CT", SOPClassUID=CT)
    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "prepare", None)  # refused, and not for good
        ingest("dicom", tmp_path / "in", settings, config, processes=0)
    before = {path.name for path in settings.quarantine_dir.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "release_from_quarantine", _stop)
        with pytest.raises(KeyboardInterrupt):
            ingest("dicom", tmp_path / "in", settings, config, processes=0)
    (sha256,) = read_index(settings.index_path)["sha256"]
    kept = {name for name in before if not name.startswith(sha256)}
    assert (len(before), len(kept)) == (4, 2)
    report = ingest("dicom", tmp_path / "in", settings, config, processes=0)
    assert (report.known, report.added) == (1, 0)
    assert {path.name for path in settings.quarantine_dir.iterdir()} == kept


def test_two_plans_of_the_same_files_add_them_once(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    plans = [plan_ingest("rsna", rsna_set, settings, config, shard_size=n) for n in (4, 6)]
    reports = [commit_ingest(plan, [prepare_shard(j) for j in plan.jobs]) for plan in plans]
    assert [report.added for report in reports] == [12, 0]
    assert [report.data_version for report in reports] == [current_version(settings)] * 2


def _stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


# --- jobs, processes, versions


def test_job_travels_and_shows_no_identity(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    job = plan_ingest("rsna", rsna_set, settings, config).jobs[0]
    copy = pickle.loads(pickle.dumps(job))
    assert copy == job
    assert "train_images" not in repr(job)
    assert len(prepare_shard(copy).rows) == 12


def test_any_version_can_be_checked_out_again(
    rsna_set: Path,
    mias_set: Path,
    settings: Settings,
    config: PreprocessConfig,
    store_files: StoreFiles,
) -> None:
    first = ingest("rsna", rsna_set, settings, config)
    before = store_files(settings)
    second = ingest("mini-mias", mias_set, settings, config)
    assert {name: v["rows"] for name, v in list_versions(settings).items()} == {
        first.data_version: 12, second.data_version: 16
    }  # fmt: skip
    checkout_version(settings, first.data_version)
    assert store_files(settings) == before
    assert current_version(settings) == first.data_version
    checkout_version(settings, second.data_version)
    assert len(read_index(settings.index_path)) == 16
    with pytest.raises(VersionUnknown, match=f"known are {first.data_version}, "):
        checkout_version(settings, "123")


def test_ingest_writes_nothing_on_standard_output(
    mias_set: Path, settings: Settings, config: PreprocessConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    ingest("mini-mias", mias_set, settings, config)
    assert capfd.readouterr() == ("", "")


def test_index_holds_no_identity(
    rsna_set: Path,
    settings: Settings,
    config: PreprocessConfig,
    store_files: StoreFiles,
) -> None:
    ingest("rsna", rsna_set, settings, config)
    for name, content in store_files(settings).items():
        assert not any(part in content for part in (b"Doe", b"Jane", b"1.2.3.1")), name
    table: dict[str, Any] = read_index(settings.index_path).to_dict("list")
    assert isinstance(pd.DataFrame(table), pd.DataFrame)


# --- headers, key, links


def test_header_of_each_image_lies_beside_its_shard_and_leaves_with_it(
    rsna_set: Path, mias_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    folder = settings.index_path.parent / "headers"
    first = ingest("rsna", rsna_set, settings, config, processes=0)
    ingest("mini-mias", mias_set, settings, config, processes=0)
    index = read_index(settings.index_path)
    assert {path.stem for path in folder.iterdir()} == set(index["shard"])
    for row in index.itertuples():
        lines = (folder / f"{row.shard}.jsonl").read_text().splitlines()
        header = json.loads(lines[row.shard_row])
        if row.source == "mini-mias":
            assert header == {}
        else:
            assert header["00185101"]["Value"] == [row.view]
            assert "7FE00010" not in header
    checkout_version(settings, first.data_version)
    assert {path.stem for path in folder.iterdir()} == set(read_index(settings.index_path)["shard"])


def test_same_pixels_in_other_files_get_a_shard_of_their_own(
    settings: Settings, config: PreprocessConfig, tmp_path: Path, make_dicom: Callable[..., Path]
) -> None:
    make_dicom(tmp_path / "one/a.dcm", 1)
    make_dicom(tmp_path / "two/a.dcm", 1, SOPInstanceUID="1.2.3", ViewPosition="MLO")
    for name in ("one", "two"):
        assert ingest("dicom", tmp_path / name, settings, config, processes=0).added == 1
    assert read_index(settings.index_path)["shard"].nunique() == 2


def test_another_key_than_the_store_s_is_refused(
    rsna_set: Path, settings: Settings, config: PreprocessConfig
) -> None:
    ingest("rsna", rsna_set, settings, config, processes=0)
    (settings.home / "pseudonym.key").write_bytes(b"another key, 32 bytes in length!")
    with pytest.raises(SettingsInvalid, match="pseudonym key differs"):
        ingest("rsna", rsna_set, settings, config, processes=0)


def test_making_a_version_takes_no_file_of_the_store_away(
    rsna_set: Path, settings: Settings, config: PreprocessConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inodes() -> dict[Path, int]:
        files = settings.index_path.parent.rglob("*")
        return {path: path.stat().st_ino for path in files if path.is_file()}

    def watch(*given: Any, **named: Any) -> str:
        before = inodes()
        version = snapshot(*given, **named)
        assert inodes() == before
        return version

    snapshot = ingest_module.snapshot_store
    monkeypatch.setattr(ingest_module, "snapshot_store", watch)
    ingest("rsna", rsna_set, settings, config, processes=0)
    assert {path.stat().st_nlink for path in inodes()} == {2}


def test_results_that_travel_name_no_file(
    settings: Settings, config: PreprocessConfig, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/Doe_Jane.dcm").write_bytes(b"")
    plan = plan_ingest("dicom", tmp_path / "in", settings, config)
    result = prepare_shard(plan.jobs[0])
    staged = b"".join(path.read_bytes() for path in (settings.data_dir / "staging").iterdir())
    assert "Doe" not in repr(result) and b"Doe" not in staged
    assert [record.file for record in commit_ingest(plan, [result]).quarantined] == ["Doe_Jane.dcm"]
