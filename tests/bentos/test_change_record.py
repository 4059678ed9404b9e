"""One record for each move, whoever is killed or races, and what it says of its origin."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bentos.screening import change_record
from bentos.screening.change_record import name_in_mlflow, write_change
from mammo.changes.books import ChangeBooks
from mammo.changes.origin import code_origin
from mammo.changes.schema import check_schema
from mammo.changes.signing import OWN_KEYS, keys_of_records, record_key, sealed
from mammo.changes.verify import verify_changes
from mammo.models.tracking import MODEL_NAME, mlflow_client, register_release
from mammo.prediction_log import PredictionLog
from mammo.release import REGISTRY, write_json
from mammo.settings import Settings
from mammo.signing import public_bytes, signing_key, trusted_keys
from tests.bentos.conftest import make_release

Pointer = dict[str, Any]
RELEASES = ((1, "r-house"), (2, "r-job"))


def moved(settings: Settings, release_id: str, at: str, **why: Any) -> Pointer:
    """The pointer as a move leaves it."""
    directory = settings.releases_dir / release_id
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "manifest.json", make_release(release_id).to_dict())
    place = {"release_id": release_id, "bento_tag": f"s:{release_id}"}
    place |= {"release_dir": str(directory)}
    told = {"reason": "manual", "episode_key": None, "by": "anna", **why}
    move = {**place, "stage": "champion", "at": at, **told}
    return {**place, "previous": None, "changed_at": at, "challenger": None, "moved": move}


def records(settings: Settings) -> list[dict[str, Any]]:
    return [one["record"] for one in PredictionLog(settings.log_url).create().changes()]


def test_record_keeps_its_schema_and_its_origin(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"image_digest": "sha256:abc"})
    record = write_change(moved(settings, "r-1", "2026-03-01T09:00:00+00:00"), settings)
    assert check_schema(record) == []
    assert record["code"] == code_origin()
    assert re.fullmatch("[0-9a-f]{64}", record["code"]["sha256"])
    assert record["container"] == {"digest": "sha256:abc", "reason": None}
    beside = settings.releases_dir / "r-1" / "change_record.json"
    assert json.loads(beside.read_text()) == record
    without = settings.model_copy(update={"image_digest": None})
    told = write_change(moved(without, "r-1", "2026-03-02T09:00:00+00:00"), without)["container"]
    assert told["digest"] is None and "MAMMO_IMAGE_DIGEST is not set" in told["reason"]


def test_digest_of_the_code_is_what_sha256sum_says(tmp_path: Path) -> None:
    from mammo.changes import origin

    (tmp_path / "mammo" / "__pycache__").mkdir(parents=True)
    (tmp_path / "mammo" / "a.py").write_text("a = 1\n")
    (tmp_path / "mammo" / "__pycache__" / "a.pyc").write_text("compiled")
    before = origin._digest(tmp_path)
    assert origin._commit(tmp_path) == {"commit": None, "changed": None}
    (tmp_path / "mammo" / "__pycache__" / "a.pyc").write_text("anew")
    assert origin._digest(tmp_path) == before
    (tmp_path / "mammo" / "a.py").write_text("a = 2\n")
    assert origin._digest(tmp_path) != before


@pytest.mark.parametrize("place", ["write_json", "_show"])
def test_killed_after_the_log_and_run_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    pointer = moved(settings, "r-1", "2026-03-01T09:00:00+00:00", evidence={"seen": 3})

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(change_record, place, kill)
        write_change(pointer, settings)
    record = write_change(pointer, settings)
    assert records(settings) == [record]
    assert record["guard"] == {"seen": 3}
    beside = settings.releases_dir / "r-1" / "change_record.json"
    assert json.loads(beside.read_text()) == record


def test_writers_that_race_make_one_chain(settings: Settings) -> None:
    pointers = [moved(settings, f"r-{n}", f"2026-03-0{n}T09:00:00+00:00") for n in range(1, 5)]
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda one: write_change(one, settings), pointers))
    written += [write_change(one, settings) for one in pointers]
    found = records(settings)
    assert sorted(one["at"] for one in found) == [one["moved"]["at"] for one in pointers]
    assert [one["number"] for one in found] == [1, 2, 3, 4]
    assert {one["number"] for one in written} == {1, 2, 3, 4}
    wrong = {one.how for one in verify_changes(settings).wrong}
    assert wrong == {"not covered", "release differs"}, "fakes without permit; the chain is sound"


def test_page_that_cannot_be_written_ends_no_deployment(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.home.mkdir(parents=True)
    settings.reports_dir.write_text("a file where the folder should be")
    assert (
        write_change(moved(settings, "r-1", "2026-03-01T09:00:00+00:00"), settings)["number"] == 1
    )
    assert "the page of changes was not written" in caplog.text


def test_key_of_records_ends_no_trust_in_what_a_bento_carries(tmp_path: Path) -> None:
    keys, carried = tmp_path / "keys", tmp_path / "signer.pub"
    carried.write_bytes(public_bytes(signing_key(tmp_path / "maker").public_key()))
    before = trusted_keys(keys, carried)
    key = record_key(keys)
    assert trusted_keys(keys, carried) == before != {}
    assert (keys / OWN_KEYS / "signing.key").is_file()
    own = signing_key(keys)
    assert record_key(keys).public_key() == own.public_key()
    assert {one.public_bytes_raw() for one in keys_of_records(keys).values()} == {
        one.public_key().public_bytes_raw() for one in (key, own)
    }


def test_only_plain_data_is_sealed(settings: Settings) -> None:
    log, key = ChangeBooks(settings.log_url).create(), record_key(settings.keys_dir)
    odd = {"release": "r-1", "at": "t", "auc": float("nan")}
    with pytest.raises(TypeError, match="plain data"):
        log.write_once("t", lambda before: sealed(odd, before, key))
    assert records(settings) == []


def test_schema_says_where_a_record_is_wrong(settings: Settings) -> None:
    record = write_change(moved(settings, "r-1", "2026-03-01T09:00:00+00:00"), settings)
    wrong = record | {"stage": "boss", "patient": "P-1", "percent": 101, "number": 0}
    told = check_schema({name: value for name, value in wrong.items() if name != "digest"})
    assert len(told) == 4 and told[-1] == "and 2 more"
    assert any("'digest' is a required property" in one or "patient" in one for one in told)


def test_a_deployment_names_no_other_releases_version(settings: Settings) -> None:
    """The release of a job names version 1 of the job's own MLflow; here that is the house's."""
    settings = settings.model_copy(update={"mlflow_port": 9})
    pointers = {one: moved(settings, one, f"2026-03-0{n}T09:00:00+00:00") for n, one in RELEASES}
    house, job = (settings.releases_dir / one for _, one in RELEASES)
    own = register_release(settings, make_release(house.name), house, {}, [])
    shutil.copy(house / REGISTRY, job)
    recorded = []
    for pointer in pointers.values():
        name_in_mlflow(pointer, settings)
        recorded.append(write_change(pointer, settings)["mlflow_version"])
    assert recorded == [own.version, None]
    name_in_mlflow(pointers[job.name] | {"previous": pointers[house.name]}, settings)
    client = mlflow_client(settings)
    for alias in ("champion", "previous"):
        version = client.get_model_version_by_alias(MODEL_NAME, alias)
        assert version.tags == {"release": house.name}


def test_an_mlflow_that_is_away_takes_no_version_from_a_record(settings: Settings) -> None:
    settings = settings.model_copy(update={"mlflow_port": 9})
    pointer = moved(settings, "r-house", "2026-03-01T09:00:00+00:00")
    write_json(settings.releases_dir / "r-house" / REGISTRY, {"version": "7"})
    name_in_mlflow(pointer, settings)
    assert write_change(pointer, settings)["mlflow_version"] == "7"
    assert not list((settings.home / "mlflow").glob("*.db")), "made for the question"
