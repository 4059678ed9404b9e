"""The way of an image with a release: the workflows' own shell, with stand-ins for programs.

cosign, gh and docker write down how they were called; docker runs the check on this machine.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bentos.screening.image_context import write_context
from mammo.release import Release
from mammo.settings import Settings
from tests.bentos.judging import judge
from tests.bentos.releases import write_release
from tests.ci.runner import DIGEST, HELD, OURS, RELEASE, SERVICE, TODAY, Runner
from tests.ci.workflows import ROOT, jobs, load


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The house's public key, and the archive that it handed out."""
    folder = tmp_path_factory.mktemp("house")
    settings = Settings(home=folder / "home", _env_file=None)
    release = Release.read(write_release(settings.releases_dir, RELEASE))
    judge(settings, RELEASE, release.digest)
    write_context(RELEASE, settings, folder / "context")
    tar = folder / "mammo-release.tar"
    subprocess.run(["tar", "-cf", tar, "-C", folder, "context"], check=True)
    return (settings.keys_dir / "signing.pub").read_text(), tar


def identity(words: list[str]) -> str:
    """Return who must have signed, as cosign is told."""
    return words[words.index("--certificate-identity-regexp") + 1]


def signer(workflow: str, ref: str) -> str:
    return f"https://github.com/Some-Owner/mammo/.github/workflows/{workflow}.yml@refs/{ref}"


@pytest.mark.parametrize(
    "image",
    [
        SERVICE,
        f"ghcr.io/some-owner/mammo-worker@{DIGEST}",
        f"ghcr.io/somebody/mammo-service-release@{DIGEST}",
        f"registry.example/some-owner/mammo-service-release@{DIGEST}",
        "ghcr.io/some-owner/mammo-service-release:r-20260301-aaaaaaaa",
    ],
)
def test_deploy_refuses_what_is_no_image_with_a_release(runner: Runner, image: str) -> None:
    done = runner.step("deploy:deploy", "Only an image with a release", IMAGE=image)
    assert done.returncode == 1
    assert "give our mammo-service-release by digest" in done.stderr
    assert not (runner.folder / "calls").exists()


def test_deploy_asks_for_signature_and_permit_of_the_right_workflow(runner: Runner) -> None:
    done = runner.step("deploy:deploy", "Only an image with a release", IMAGE=OURS)
    assert done.returncode == 0, done.stderr
    verified, attested = runner.calls("cosign")
    assert (verified[:2], attested[:2]) == (["verify", OURS], ["verify-attestation", OURS])
    for words in (verified, attested):
        who = re.compile(identity(words))
        assert who.search(signer("release_image", "heads/main"))
        assert who.search(signer("release_image", "tags/v0.1.0"))
        for other in (signer("images", "heads/main"), signer("release_image", "heads/other")):
            assert not who.search(other)
    said = f"{RELEASE}: C1: First release. ({TODAY:%Y-%m-%d})\n"
    assert runner.told("GITHUB_STEP_SUMMARY") == said


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"WRITTEN": (TODAY - timedelta(days=31)).isoformat()},
            "is 31 days old, and counts for 30",
        ),
        ({"WITHDRAWN": f"r-20260101-00000000 {HELD}"}, f"{HELD} was withdrawn"),
        ({"WITHDRAWN": RELEASE}, f"{RELEASE} was withdrawn"),
    ],
    ids=["an old one", "withdrawn by digest", "withdrawn by id"],
)
def test_deploy_refuses_a_permit_that_no_longer_stands(
    runner: Runner, given: dict[str, str], told: str
) -> None:
    done = runner.step("deploy:deploy", "Only an image with a release", IMAGE=OURS, **given)
    assert done.returncode != 0 and told in done.stderr


@pytest.mark.parametrize("job", ["release_image:build", "deploy:deploy"])
def test_both_read_what_was_withdrawn(job: str) -> None:
    given = [one["env"] for one in dict(jobs())[job]["steps"] if "WITHDRAWN" in one.get("env", {})]
    assert [one["WITHDRAWN"] for one in given] == ["${{ vars.MAMMO_WITHDRAWN }}"]


@pytest.mark.parametrize("refused", ["verify", "verify-attestation"])
def test_deploy_ends_where_one_of_both_is_missing(runner: Runner, refused: str) -> None:
    done = runner.step("deploy:deploy", "Only an image with a release", IMAGE=OURS, REFUSED=refused)
    assert done.returncode != 0
    assert "no matching signatures" in done.stderr


REPOSITORY, PACKAGE = "repos/Some-Owner/mammo", "packages/container/mammo-service-release"
PRIVATE = {"visibility": "private", "owner": {"type": "Organization"}}
OWN = PRIVATE | {"owner": {"type": "User"}}


@pytest.mark.parametrize(
    "known",
    [
        {REPOSITORY: PRIVATE},
        {REPOSITORY: PRIVATE, f"orgs/Some-Owner/{PACKAGE}": {"visibility": "private"}},
        {REPOSITORY: OWN, f"users/Some-Owner/{PACKAGE}": {"visibility": "private"}},
    ],
    ids=["no package yet", "of an organization", "of a person"],
)
def test_a_private_repository_may_have_an_image(runner: Runner, known: dict[str, Any]) -> None:
    done = runner.step("release_image:build", "Only where", GITHUB=json.dumps(known))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({REPOSITORY: PRIVATE | {"visibility": "public"}}, "this repository is public, and must"),
        ({REPOSITORY: PRIVATE | {"visibility": "internal"}}, "this repository is internal, and"),
        ({}, "HTTP 404"),
        ({REPOSITORY: PRIVATE, f"orgs/Some-Owner/{PACKAGE}": {"visibility": "public"}},
         "mammo-service-release is public, and must be private"),
        ({REPOSITORY: OWN, f"users/Some-Owner/{PACKAGE}": {"visibility": "internal"}},
         "mammo-service-release is internal"),
        ({REPOSITORY: PRIVATE, f"orgs/Some-Owner/{PACKAGE}": 502}, "HTTP 502"),
    ],
)  # fmt: skip
def test_where_others_may_look_there_is_no_image(
    runner: Runner, known: dict[str, Any], told: str
) -> None:
    done = runner.step("release_image:build", "Only where", GITHUB=json.dumps(known))
    assert done.returncode != 0 and told in done.stderr


def test_that_is_asked_before_anything_is_fetched() -> None:
    first, *_ = dict(jobs())["release_image:build"]["steps"]
    assert first["name"].startswith("Only where repository and package are private")


def test_a_release_goes_through_the_workflow(runner: Runner, house: tuple[str, Path]) -> None:
    key, tar = house
    job, given = "release_image:build", {"KEY": key, "TAR": str(tar), "RELEASE": "model-x"}
    for named in ("Only on a service", "as the house wrote it", "Signed and permitted"):
        done = runner.step(job, named, **given)
        assert done.returncode == 0, done.stderr
    who = re.compile(identity(runner.calls("cosign")[0]))
    assert who.search(signer("images", "heads/main"))
    assert not who.search(signer("images", "heads/other"))
    outputs = dict(line.split("=") for line in runner.told("GITHUB_OUTPUT").splitlines())
    assert outputs["release"] == RELEASE and re.fullmatch(r"[0-9a-f]{64}", outputs["digest"])
    assert runner.told("GITHUB_ENV") == "NAME=ghcr.io/some-owner/mammo-service-release\n"
    (checked,) = runner.calls("docker")
    assert {"--network", "none", "--read-only"} <= set(checked)
    assert runner.told("context/house/house.pub").strip() == key.strip(), "what the image trusts"
    own = {"IMAGE": OURS, "PERMIT": "https://github.com/Some-Owner/mammo/permit"}
    assert runner.step(job, "Sign the digest", **own).returncode == 0
    said = [words[0] for words in runner.calls("cosign")]
    assert said == ["verify", "sign", "attest", "verify", "verify-attestation"]
    predicate = runner.calls("cosign")[2][runner.calls("cosign")[2].index("--predicate") + 1]
    assert json.loads((runner.folder / predicate).read_text())["release"] == RELEASE
    assert runner.told("GITHUB_STEP_SUMMARY") == f"{OURS}\n"


@pytest.mark.parametrize(
    ("key", "told"), [("", "house.pub is no public key"), ("stranger", "trusted are")]
)
def test_a_release_that_the_house_did_not_sign_becomes_no_image(
    runner: Runner, house: tuple[str, Path], tmp_path: Path, key: str, told: str
) -> None:
    if key:
        write_release(tmp_path / "stranger" / "releases", RELEASE)
        key = (tmp_path / "stranger" / "keys" / "signing.pub").read_text()
    given = {"KEY": key, "TAR": str(house[1]), "RELEASE": "model-x"}
    assert runner.step("release_image:build", "as the house wrote it", **given).returncode == 0
    done = runner.step("release_image:build", "Signed and permitted", **given)
    assert done.returncode != 0 and "SIGNATURE_INVALID" in done.stderr and told in done.stderr
    assert not (runner.folder / "GITHUB_OUTPUT").exists()


def test_a_release_that_was_withdrawn_becomes_no_image(
    runner: Runner, house: tuple[str, Path]
) -> None:
    given = {"KEY": house[0], "TAR": str(house[1]), "RELEASE": "model-x", "WITHDRAWN": RELEASE}
    assert runner.step("release_image:build", "as the house wrote it", **given).returncode == 0
    done = runner.step("release_image:build", "Signed and permitted", **given)
    assert done.returncode != 0 and f"{RELEASE} was withdrawn" in done.stderr
    assert not (runner.folder / "GITHUB_OUTPUT").exists()


def test_a_key_in_the_archive_counts_for_nothing(
    runner: Runner, house: tuple[str, Path], tmp_path: Path
) -> None:
    """All of it is a stranger's, whole, and its key lies where the house's will."""
    settings = Settings(home=tmp_path / "stranger", _env_file=None)
    release = Release.read(write_release(settings.releases_dir, RELEASE, bias=3.0))
    judge(settings, RELEASE, release.digest)
    write_context(RELEASE, settings, tmp_path / "context")
    (tmp_path / "context" / "house").mkdir()
    shutil.copy(settings.keys_dir / "signing.pub", tmp_path / "context/house/house.pub")
    subprocess.run(["tar", "-cf", tmp_path / "x.tar", "-C", tmp_path, "context"], check=True)
    given = {"KEY": house[0], "TAR": str(tmp_path / "x.tar"), "RELEASE": "model-x"}
    assert runner.step("release_image:build", "as the house wrote it", **given).returncode == 0
    done = runner.step("release_image:build", "Signed and permitted", **given)
    assert done.returncode != 0 and "SIGNATURE_INVALID" in done.stderr
    assert runner.told("context/house/house.pub").strip() == house[0].strip()


def test_service_of_another_is_no_base(runner: Runner) -> None:
    other = SERVICE.replace("some-owner", "somebody")
    done = runner.step("release_image:build", "Only on a service", SERVICE=other)
    assert done.returncode == 1 and "give our mammo-service by digest" in done.stderr


def test_image_is_built_by_our_dockerfile_of_what_was_checked() -> None:
    steps: list[dict[str, Any]] = dict(jobs())["release_image:build"]["steps"]
    build = next(one["with"] for one in steps if "build-push" in one.get("uses", ""))
    assert (ROOT / build["file"]).is_file() and build["context"] == "context"
    arguments = dict(line.split("=", 1) for line in build["build-args"].splitlines())
    text = (ROOT / build["file"]).read_text()
    assert set(arguments) == set(re.findall(r"^ARG (\w+)$", text, re.MULTILINE))
    assert build["sbom"] is True and build["provenance"] == "mode=max" and build["push"] is True


def test_names_of_images_have_no_capitals(runner: Runner) -> None:
    assert runner.step("images:build", "no capitals", IMAGE="service").returncode == 0
    assert runner.told("GITHUB_ENV") == "NAME=ghcr.io/some-owner/mammo-service\n"
    texts = [path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.yml"))]
    assert not [one for one in texts if "ghcr.io/${{" in one]


def test_only_a_person_starts_it() -> None:
    for name in ("release_image", "deploy"):
        assert set(load(ROOT / f".github/workflows/{name}.yml")["on"]) == {"workflow_dispatch"}
