"""Release notes, the benchmark's comment, what a permit is worth, and the token of a job."""

from __future__ import annotations

import importlib.util
import json
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from tests.ci.workflows import ROOT

LOG = """# Changelog

## 0.2.0 (2027-01-01)

- Two.

## 0.1.0 (unreleased)

- One.

## 0.0.9

"""
PROJECT = '[project]\nname = "mammo"\nversion = "0.2.0"\n'


def script(name: str) -> ModuleType:
    path = ROOT / ".github" / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_notes_are_the_section_alone() -> None:
    assert script("release_notes").section(LOG, "0.2.0") == "- Two.\n"


@pytest.mark.parametrize(
    ("version", "told"),
    [("0.1.0", "still calls 0.1.0 unreleased"), ("0.0.9", "says nothing"), ("9", "no section 9")],
)
def test_what_is_no_release_is_refused(version: str, told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        script("release_notes").section(LOG, version)


def test_the_tag_is_the_version() -> None:
    notes = script("release_notes")
    assert notes.version_of("v0.2.0", PROJECT) == "0.2.0"
    with pytest.raises(SystemExit, match=r"the tag is v0\.3\.0, pyproject\.toml says 0\.2\.0"):
        notes.version_of("v0.3.0", PROJECT)


def test_the_real_changelog_has_the_section_of_the_version() -> None:
    import mammo

    assert f"\n## {mammo.__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_comment_marks_what_became_slower() -> None:
    run = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    slower = json.loads(json.dumps(run))
    first, second, gone = run["rows"][0], run["rows"][1], slower["rows"].pop()
    slower["rows"][0]["ratio"] = first["ratio"] / 2
    told = script("benchmark_comment").table(run, slower)
    lines = {line.split(" | ")[0].strip("| "): line for line in told.splitlines() if "|" in line}
    assert lines[first["step"]].endswith(f"| {first['ratio'] / 2:.2f} | slower |")
    assert lines[second["step"]].endswith(f"{second['ratio']:.2f} |  |")
    assert lines[gone["step"]].endswith("|  | not measured |")
    assert f"Committed: commit {run['commit']}" in told


RELEASE, HELD = "r-20260301-aaaaaaaa", "cd" * 32


def permit(days: float, **given: object) -> str:
    """Return a permit that was written so many days ago, as JSON."""
    told = {"release": RELEASE, "digest": HELD, "permit": {"text": "C1: First release."}}
    at = datetime.now(UTC) - timedelta(days=days)
    return json.dumps(told | {"written_at": at.isoformat()} | given)


@pytest.mark.parametrize(
    ("text", "withdrawn"),
    [
        (permit(0), ""),
        (permit(29.9), "r-20260302-aaaaaaaa"),
        (permit(-0.5), f"{'ab' * 32},\nr-20260302-aaaaaaaa"),
        (permit(1) + "\n" + permit(90), ""),
        (json.dumps(json.loads(permit(1)), indent=1), ""),
    ],
    ids=["of now", "of last month", "by a fast clock", "the newest of two", "indented"],
)
def test_a_permit_that_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, withdrawn: str
) -> None:
    (tmp_path / "permit.json").write_text(text)
    words = [str(tmp_path / "permit.json"), "--withdrawn", withdrawn]
    assert script("standing_permit").main(words) == 0
    assert capsys.readouterr().out.startswith(f"{RELEASE}: C1: First release. (20")


@pytest.mark.parametrize(
    ("text", "withdrawn", "told"),
    [
        (permit(31.5), "", "is 31 days old, and counts for 30"),
        (permit(-2), "", f"the permit of {RELEASE} is of 20"),
        (permit(0), HELD, f"{HELD} was withdrawn"),
        (permit(0), f"r-20260302-aaaaaaaa, {RELEASE}", f"{RELEASE} was withdrawn"),
        (permit(0), HELD[:12], "'cdcdcdcdcdcd' is neither a release's id nor a digest"),
        ("", "", "there is no permit"),
        ("{", "", "cannot be read: JSONDecodeError"),
        (permit(0, written_at=None), "", "cannot be read: TypeError"),
        (permit(0, permit=[]), "", "cannot be read: TypeError"),
        ("{}", "", "cannot be read: KeyError"),
    ],
)
def test_a_permit_that_does_not_stand(tmp_path: Path, text: str, withdrawn: str, told: str) -> None:
    (tmp_path / "permit.json").write_text(text)
    with pytest.raises(SystemExit, match=told):
        script("standing_permit").main([str(tmp_path / "permit.json"), "--withdrawn", withdrawn])


class Tokens(BaseHTTPRequestHandler):
    """GitHub's giver of tokens: a new one each time, to who knows the word."""

    given = 0
    planted: ClassVar[list[bytes]] = []
    """Bodies that go before, cut off where they end: their length is said to be more."""

    def do_GET(self) -> None:
        if self.planted:
            body = self.planted.pop(0)
            self.send_response(200)
            self.send_header("Content-Length", str(max(len(body), 20)))
            self.end_headers()
            self.wfile.write(body)
            return
        known = self.headers["Authorization"] == "bearer word"
        asked = self.path == "/?api-version=2.0&audience=api://AzureADTokenExchange"
        type(self).given += 1
        self.send_response(200 if known and asked else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"value": f"token-{self.given}"}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A job with the right to an identity."""
    Tokens.given = 0
    Tokens.planted = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Tokens) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/?api-version=2.0"
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", address)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "word")
        yield
        server.shutdown()


@pytest.mark.usefixtures("identity")
def test_azure_reads_the_token_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.identity import WorkloadIdentityCredential

    from flows.azure_workspace import default_credential

    file = tmp_path / "oidc-token"
    assert script("oidc_token").main([str(file)]) == 0
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("token-1", 0o600)
    for name, value in (("CLIENT_ID", "c"), ("TENANT_ID", "t"), ("FEDERATED_TOKEN_FILE", file)):
        monkeypatch.setenv(f"AZURE_{name}", str(value))
    ways = default_credential().credentials
    (own,) = (one for one in ways if isinstance(one, WorkloadIdentityCredential))
    assert own._get_service_account_token() == "token-1"
    assert script("oidc_token").main([str(file)]) == 0
    assert own._get_service_account_token() == "token-1", "what it read counts for ten minutes"
    own._last_read_time -= 601
    assert own._get_service_account_token() == "token-2"


@pytest.mark.usefixtures("identity")
def test_the_token_is_fetched_anew_until_the_end(tmp_path: Path) -> None:
    file = tmp_path / "oidc-token"
    words = [sys.executable, ROOT / ".github/scripts/oidc_token.py", file, "--every", "0.05"]
    keeper = subprocess.Popen(words)
    try:
        deadline = time.monotonic() + 30
        while not file.exists() or file.read_text() in ("token-1", "token-2"):
            assert time.monotonic() < deadline and keeper.poll() is None
            time.sleep(0.05)
    finally:
        keeper.terminate()
        keeper.wait(10)


CUT, LIST, PAGE = b'{"value": "tok', b'["token", "another"]', b"<html>try again</html>"


@pytest.mark.usefixtures("identity")
def test_the_keeper_outlives_answers_that_are_none(tmp_path: Path) -> None:
    Tokens.planted = [CUT, LIST, PAGE, b""]
    file, said = tmp_path / "oidc-token", tmp_path / "said"
    words = [sys.executable, ROOT / ".github/scripts/oidc_token.py", file, "--every", "0.05"]
    with said.open("wb") as out:
        keeper = subprocess.Popen(words, stderr=out)
    try:
        deadline = time.monotonic() + 30
        while not file.exists():
            assert time.monotonic() < deadline and keeper.poll() is None, said.read_text()
            time.sleep(0.05)
    finally:
        keeper.terminate()
        keeper.wait(10)
    kinds = [line.split(": ")[1] for line in said.read_text().splitlines()]
    assert kinds == ["IncompleteRead", "ValueError", "JSONDecodeError", "IncompleteRead"]


def test_a_step_without_the_right_to_an_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    assert script("oidc_token").main([str(tmp_path / "oidc-token")]) == 1
    assert "no new token: KeyError: 'ACTIONS_ID_TOKEN_REQUEST_URL'" in capsys.readouterr().err


@pytest.mark.usefixtures("identity")
def test_no_token_is_a_failure_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "another")
    assert script("oidc_token").main([str(tmp_path / "oidc-token")]) == 1
    told = capsys.readouterr().err
    assert "no new token: HTTPError" in told and "another" not in told
    assert not (tmp_path / "oidc-token").exists()
