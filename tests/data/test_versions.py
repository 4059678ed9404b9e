"""Data versions: listed, compared in words, checked out again, kept on remotes."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.servers import free_port
from mammo.data.index import read_index, write_index
from mammo.data.ingest import ingest
from mammo.data.store import store_lock
from mammo.data.version import (
    current_version,
    find_version,
    list_versions,
    log_version,
    snapshot_store,
)
from mammo.data.version_diff import diff_versions
from mammo.data.version_files import (
    checkout_version,
    damaged_files,
    listing_path,
    present_version,
    version_files,
)
from mammo.data.version_remote import fetch_version, push_version, remote_versions
from mammo.errors import (
    ChecksumMismatch,
    MammoError,
    RemoteUnreachable,
    SettingsInvalid,
    VersionUnknown,
)
from mammo.preprocess import PreprocessConfig
from mammo.settings import Settings
from tests.data.conftest import write_mini_mias, write_rsna

StoreFiles = Callable[[Settings], dict[str, bytes]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str]]:
    """An installation with two versions, to be copied: 12 images, then 4 more of another set."""
    folder = tmp_path_factory.mktemp("two")
    settings = Settings(home=folder / "home", _env_file=None)
    config = PreprocessConfig(height=64, width=32)
    first = ingest("rsna", write_rsna(folder / "rsna"), settings, config, processes=0)
    second = ingest("mini-mias", write_mini_mias(folder / "mias"), settings, config, processes=0)
    return settings.home, (first.data_version, second.data_version)


@pytest.fixture
def two(made: tuple[Path, tuple[str, str]], settings: Settings) -> tuple[str, str]:
    """A copy of that installation; hard links stay hard links."""
    subprocess.run(["cp", "--archive", str(made[0]), str(settings.home)], check=True)
    return made[1]


def test_difference_in_words(two: tuple[str, str], settings: Settings) -> None:
    found = diff_versions(settings, *two)
    assert (found.added["images"], found.removed["images"]) == (4, 0)
    assert found.added_by["source"] == {"mini-mias": 4}
    assert found.changed == {} and found.prepared_anew == 0
    text = " ".join(found.sentences())
    assert "12 to 16 images" in text
    assert "4 images of" in text and "came in" in text
    back = diff_versions(settings, two[1], two[0])
    assert back.removed["images"] == 4 and "went out" in " ".join(back.sentences())
    same = diff_versions(settings, two[0], two[0])
    assert same.sentences()[0].endswith("nothing differs.")


def test_changed_labels_are_counted_by_column(two: tuple[str, str], settings: Settings) -> None:
    index = read_index(settings.index_path)
    index.loc[:2, "cancer"] = 1 - index.loc[:2, "cancer"]
    index.loc[0, "density"] = "D" if index.loc[0, "density"] != "D" else "A"
    with store_lock(settings):
        write_index(index, settings.index_path)
        third = present_version(settings)
        assert present_version(settings) == third
    found = diff_versions(settings, two[1], "current")
    assert found.after == third
    assert found.changed["density"] == 1
    assert 1 <= found.changed["cancer"] <= 3
    assert "what is known changed" in " ".join(found.sentences())


@pytest.mark.parametrize("name", ["", "zzz", "currents"])
def test_unknown_version_is_refused(two: tuple[str, str], settings: Settings, name: str) -> None:
    with pytest.raises(VersionUnknown, match=r"`mammo data versions` lists all"):
        find_version(settings, name)
    assert find_version(settings, two[0][:5]) == two[0]


def test_checkout_goes_back_and_forth(
    two: tuple[str, str], settings: Settings, store_files: StoreFiles
) -> None:
    newest = store_files(settings)
    assert checkout_version(settings, two[0][:6]) == two[0]
    assert current_version(settings) == two[0]
    assert len(read_index(settings.index_path)) == 12
    assert set(store_files(settings)) < set(newest)
    checkout_version(settings, two[1])
    assert store_files(settings) == newest


def test_checkout_keeps_what_was_no_version_yet(two: tuple[str, str], settings: Settings) -> None:
    index = read_index(settings.index_path).iloc[:7]
    write_index(index, settings.index_path)  # an ingest that was killed before its version
    checkout_version(settings, two[0])
    third = next(name for name in list_versions(settings) if name not in two)
    checkout_version(settings, third)
    assert len(read_index(settings.index_path)) == 7


def test_damaged_cache_is_told_before_anything_is_touched(
    two: tuple[str, str], settings: Settings, store_files: StoreFiles
) -> None:
    before = store_files(settings)
    only_new = {one.md5 for one in version_files(settings, two[0])}
    index = next(one for one in version_files(settings, two[0]) if one.path == "index.parquet")
    assert index.md5 in only_new
    index.cached.chmod(0o644)
    index.cached.write_bytes(b"garbled")
    assert [(one.path, how) for one, how in damaged_files(settings, two[0])] == [
        ("index.parquet", "changed")
    ]
    with pytest.raises(ChecksumMismatch, match=r"index\.parquet.*mammo data fetch"):
        checkout_version(settings, two[0])
    index.cached.unlink()
    with pytest.raises(VersionUnknown, match="MAMMO_DATA_REMOTE"):
        checkout_version(settings, two[0])
    assert store_files(settings) == before


def garble(path: Path) -> None:
    """Change a file of the cache or the store where it lies, and all its links with it."""
    path.chmod(0o644)
    path.write_bytes(b"garbled")


def test_killed_before_the_version_was_noted(two: tuple[str, str], settings: Settings) -> None:
    log = settings.data_dir / "versions.json"
    entries = json.loads(log.read_text())
    log.write_text(json.dumps({two[0]: entries[two[0]]}))  # the pointer names the second already
    checkout_version(settings, two[0])
    checkout_version(settings, two[1])
    assert len(read_index(settings.index_path)) == 16


@pytest.mark.parametrize("config", ["", "[core]\n", "[core]\n    analytics = false\n"])
def test_repository_that_was_half_made_is_made_again(
    two: tuple[str, str], settings: Settings, config: str
) -> None:
    (settings.data_dir / ".dvc" / "config").write_text(config)
    index = read_index(settings.index_path).iloc[:7]
    write_index(index, settings.index_path)
    with store_lock(settings):
        assert snapshot_store(settings, rows=7) not in two
    checkout_version(settings, two[0])  # the cache is as it was
    assert len(read_index(settings.index_path)) == 12


def test_repository_without_a_configuration_keeps_its_cache(
    two: tuple[str, str], settings: Settings
) -> None:
    (settings.data_dir / ".dvc" / "config").unlink()
    (settings.data_dir / "store.dvc").unlink(missing_ok=True)
    with store_lock(settings):
        snapshot_store(settings, rows=16)
    checkout_version(settings, two[0])
    assert len(read_index(settings.index_path)) == 12


def test_sound_file_is_not_replaced_by_a_damaged_one_of_the_cache(
    two: tuple[str, str], settings: Settings
) -> None:
    content = settings.index_path.read_bytes()
    index = next(one for one in version_files(settings, two[1]) if one.path == "index.parquet")
    settings.index_path.unlink()
    settings.index_path.write_bytes(content)  # a store that was copied: no link to the cache
    garble(index.cached)
    with store_lock(settings):
        assert snapshot_store(settings, rows=16) == two[1]
    assert settings.index_path.read_bytes() == content == index.cached.read_bytes()


def test_versions_are_told_in_the_order_of_their_making(
    two: tuple[str, str], settings: Settings
) -> None:
    entry = list_versions(settings)[two[0]] | {"made_at": "2020-01-01T00:00:00+00:00"}
    with store_lock(settings):
        log_version(settings, "0" * 12, entry)  # as one that was fetched
    assert list(list_versions(settings)) == ["0" * 12, *two]


def test_damaged_list_of_files_is_told(two: tuple[str, str], settings: Settings) -> None:
    listing = listing_path(settings, two[0])
    told = json.loads(listing.read_text())
    listing.chmod(0o644)
    listing.write_text(json.dumps(told[1:]))
    with pytest.raises(ChecksumMismatch, match=r"1 file is not what was written.*fetch"):
        checkout_version(settings, two[0])


KILLED = """
import os, sys
from pathlib import Path
from mammo.data import version_files
from mammo.settings import Settings
steps = int(sys.argv[3])
def count(frame, event, argument):
    global steps
    if event == "call" and frame.f_code.co_filename.endswith(("version_files.py", "durable.py")):
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), 9)
sys.setprofile(count)
version_files.checkout_version(Settings(home=Path(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 60, 70, 75, 80, 85, 90, 95, 100, 110])
def test_killed_checkout_ends_alike(
    two: tuple[str, str], settings: Settings, store_files: StoreFiles, steps: int
) -> None:
    newest = store_files(settings)
    words = [sys.executable, "-c", KILLED, str(settings.home), two[0], str(steps)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode in (-signal.SIGKILL, 0), done.stderr.decode()
    rows = len(read_index(settings.index_path))  # one version or the other, never neither
    assert rows in (12, 16)
    checkout_version(settings, two[0])
    assert len(read_index(settings.index_path)) == 12
    checkout_version(settings, two[1])
    assert store_files(settings) == newest


# --- remotes


def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    """Another machine: the same key and remote, an empty home."""
    home = tmp_path / "elsewhere"
    home.mkdir()
    shutil.copy(settings.home / "pseudonym.key", home / "pseudonym.key")
    return settings.model_copy(update={"home": home})


def round_trip(here: Settings, tmp_path: Path, two: tuple[str, str]) -> None:
    """Push both versions, fetch the older on another machine, compare byte for byte."""
    for name in two:
        pushed = push_version(here, name)
        assert pushed["sent"] > 0
    assert push_version(here, "current")["sent"] == 0
    there = elsewhere(here, tmp_path)
    assert set(remote_versions(there)) == set(two)  # made within one second, perhaps
    with pytest.raises(VersionUnknown):
        find_version(there, two[0])
    assert fetch_version(there, two[0][:7])["version"] == two[0]
    checkout_version(there, two[0])
    wanted = {one.path: one.md5 for one in version_files(here, two[0])}
    assert {one.path: one.md5 for one in version_files(there, two[0])} == wanted
    assert not list(damaged_files(there, two[0]))
    assert len(read_index(there.index_path)) == 12
    with pytest.raises(VersionUnknown, match="neither here nor on the remote"):
        fetch_version(there, "0000")


def test_folder_as_remote(two: tuple[str, str], settings: Settings, tmp_path: Path) -> None:
    remote = settings.model_copy(update={"data_remote": str(tmp_path / "remote")})
    round_trip(remote, tmp_path, two)


def test_damaged_file_is_fetched_anew(
    two: tuple[str, str], settings: Settings, tmp_path: Path
) -> None:
    remote = settings.model_copy(update={"data_remote": str(tmp_path / "remote")})
    push_version(remote, two[0])
    index = next(one for one in version_files(remote, two[0]) if one.path == "index.parquet")
    index.cached.chmod(0o644)
    index.cached.write_bytes(b"garbled")
    fetch_version(remote, two[0])
    assert not list(damaged_files(remote, two[0]))
    checkout_version(remote, two[0])
    assert len(read_index(remote.index_path)) == 12


def stored(remote: Path, md5: str) -> Path:
    """Return where a folder remote keeps these bytes."""
    return remote / "files" / "md5" / md5[:2] / md5[2:]


def test_damaged_file_is_not_pushed(
    two: tuple[str, str], settings: Settings, tmp_path: Path
) -> None:
    remote = settings.model_copy(update={"data_remote": str(tmp_path / "remote")})
    garble(version_files(settings, two[0])[0].cached)
    with pytest.raises(ChecksumMismatch, match="not what was written"):
        push_version(remote, two[0])
    assert not (tmp_path / "remote").exists()


@pytest.mark.parametrize("which", ["index.parquet", "list of files"])
def test_damage_on_the_remote_is_told_and_not_kept(
    two: tuple[str, str], settings: Settings, tmp_path: Path, which: str
) -> None:
    remote = settings.model_copy(update={"data_remote": str(tmp_path / "remote")})
    push_version(remote, two[0])
    md5 = {one.path: one.md5 for one in version_files(settings, two[0])}
    md5["list of files"] = listing_path(settings, two[0]).parent.name + (
        listing_path(settings, two[0]).name
    )
    garble(stored(tmp_path / "remote", md5[which]))
    there = elsewhere(remote, tmp_path)
    with pytest.raises(ChecksumMismatch, match=r"came damaged from the remote.*mammo data push"):
        fetch_version(there, two[0])
    with pytest.raises(VersionUnknown, match="mammo data fetch"):
        checkout_version(there, two[0])
    stored(tmp_path / "remote", md5[which]).unlink()  # what the message says
    push_version(remote, two[0])
    fetch_version(there, two[0])
    checkout_version(there, two[0])
    assert len(read_index(there.index_path)) == 12


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"made_at": "2020-01-01", "rows": 1, "pointer": "outs: []"}']
)
def test_damaged_entry_on_the_remote_is_named(
    two: tuple[str, str], settings: Settings, tmp_path: Path, content: str
) -> None:
    remote = settings.model_copy(update={"data_remote": str(tmp_path / "remote")})
    push_version(remote, two[0])
    (tmp_path / "remote" / "mammo-versions" / f"{two[0]}.json").write_text(content)
    with pytest.raises(ChecksumMismatch, match=rf"{two[0]}\.json on the remote is no entry"):
        remote_versions(remote)


def serving(words: list[str], port: int, folder: Path) -> Iterator[None]:
    """Run a server until the test ends."""
    process = subprocess.Popen(
        words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that speaks S3, with a bucket ``versions``; the value is its address."""
    import boto3

    port = free_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    for _ in serving(words, port, tmp_path):
        address = f"http://127.0.0.1:{port}"
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="versions")
        yield address


@pytest.mark.slow
def test_s3_as_remote(two: tuple[str, str], settings: Settings, tmp_path: Path, s3: str) -> None:
    update = {"data_remote": "s3://versions/mammo", "data_remote_endpoint": s3}
    remote = settings.model_copy(update=update)
    round_trip(remote, tmp_path, two)
    assert "hidden-secret" not in (settings.data_dir / ".dvc" / "config").read_text()
    absent = remote.model_copy(update={"data_remote": "s3://nobody/mammo"})
    with pytest.raises(RemoteUnreachable, match="s3://nobody/mammo") as caught:
        push_version(absent, "current")
    assert "hidden-secret" not in str(caught.value)


AZURE_ACCOUNT = "devstoreaccount1"
# the emulator's own account, the same in every installation of it
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


def azurite() -> str:
    """The emulator of Azure Blob Storage, from npm; the test skips by its name."""
    found = shutil.which("azurite-blob")
    if found is None:
        pytest.skip("azurite is not installed: npm install --global azurite")
    return found


@pytest.mark.stack
def test_azure_blob_as_remote(
    two: tuple[str, str],
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program, port = azurite(), free_port()
    address = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};"
        f"BlobEndpoint={address};"
    )
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    words = [program, "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    for _ in serving([*words, "--disableTelemetry"], port, tmp_path):
        from azure.storage.blob import BlobServiceClient

        BlobServiceClient.from_connection_string(connection).create_container("versions")
        remote = settings.model_copy(update={"data_remote": "azure://versions/mammo"})
        round_trip(remote, tmp_path, two)
        assert AZURE_KEY not in (settings.data_dir / ".dvc" / "config").read_text()


@pytest.mark.parametrize(
    ("remote", "error", "told"),
    [
        (None, SettingsInvalid, "MAMMO_DATA_REMOTE=/mnt/archive"),
        ("nonsense://x", SettingsInvalid, "no address that DVC knows"),
    ],
)
def test_wrong_remote_is_named(
    two: tuple[str, str],
    settings: Settings,
    remote: str | None,
    error: type[MammoError],
    told: str,
) -> None:
    with pytest.raises(error, match=told):
        push_version(settings.model_copy(update={"data_remote": remote}), "current")


@pytest.mark.slow
def test_dead_remote_is_told_and_nothing_is_lost(
    two: tuple[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "key")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    update = {
        "data_remote": "s3://versions/mammo",
        "data_remote_endpoint": f"http://127.0.0.1:{free_port()}",
    }
    with pytest.raises(RemoteUnreachable, match="run the same again"):
        push_version(settings.model_copy(update=update), "current")
    assert not list(damaged_files(settings, "current"))
