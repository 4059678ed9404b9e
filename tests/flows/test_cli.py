from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from flows import cli_data, cli_model
from flows.cli import app
from flows.cli_terminal import exit_status, reported, show, show_rows
from mammo import errors
from mammo.settings import Settings

COMMANDS = (
    "up", "down", "status", "demo", "drill", "alerts drill", "ingest", "validate", "train", "gate",
    "package",
    "deploy", "predict", "monitor", "retrain", "inspect", "deidentify", "compare", "evaluate",
    "explain", "export", "models", "shortcuts", "sign", "episodes", "close",
    "token add", "token list", "token revoke",
    "data get cbis-sample", "data get phantoms", "tune", "card",
    "detect train", "detect evaluate", "detect files", "dashboards check", "release context",
)  # fmt: skip
HEAVY = ("torch", "prefect", "mlflow", "pandas", "numpy", "bentoml", "evidently", "pydantic")


def invoke(line: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, line.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_sentence_an_example_and_json(command: str) -> None:
    result = invoke(f"{command} --help")
    assert result.exit_code == 0
    assert f"Example: mammo {command}" in result.output
    assert "--json" in result.output


def test_help_lists_every_command() -> None:
    output = invoke("--help").output
    assert [name for name in COMMANDS if name.split()[0] not in output] == []


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, flows.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "code", "text", "status"),
    [
        ("retrain", "STACK_NOT_RUNNING", "start it with `mammo up`", 1),
        ("ingest --via-prefect", "STACK_NOT_RUNNING", "start it with `mammo up`", 1),
        ("inspect nowhere.dcm", "SOURCE_NOT_FOUND", "there is no file nowhere.dcm", 2),
        ("predict nowhere.dcm", "SOURCE_NOT_FOUND", "not found: path 1 of 1", 2),
        ("predict pyproject.toml", "NOT_READY", "no release is in service", 1),
        (
            "predict pyproject.toml --url http://127.0.0.1:9",
            "SERVICE_UNREACHABLE",
            "No answer from",
            1,
        ),
        ("token revoke nobody", "TOKEN_UNKNOWN", "`mammo token list` shows them", 2),
        ("token add local --role read", "TOKEN_NAME_INVALID", "name the system, no person", 2),
        ("close nothing --reason x", "EPISODE_UNKNOWN", "`mammo episodes` shows those", 2),
        ("ingest nowhere", "SOURCE_NOT_FOUND", "nowhere", 2),
        ("data get phantoms --scanner zz", "SOURCE_INVALID", "No scanner profile zz", 2),
        ("data get phantoms --exams 0", "SOURCE_INVALID", "0 exams asked for", 2),
    ],
)
def test_errors_are_one_line_with_a_code(
    settings: Settings, line: str, code: str, text: str, status: int
) -> None:
    plain, as_json = invoke(line), invoke(f"{line} --json")
    assert plain.stderr.startswith(f"error {code}: ")
    assert text in plain.stderr and "Traceback" not in plain.output
    assert plain.exit_code == as_json.exit_code == status
    problem = json.loads(as_json.stderr)
    assert (problem["code"], as_json.stdout) == (code, "")
    assert text in problem["detail"]


def test_a_variable_that_makes_no_sense(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMO_PREFECT_PORT", "abc")
    result = invoke("status")
    assert result.exit_code == 2
    assert "error SETTINGS_INVALID: MAMMO_PREFECT_PORT: Input should be" in result.stderr


def test_status_of_no_stack(settings: Settings) -> None:
    result = invoke("status --json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["running"] is False
    assert "start it with `mammo up`" in invoke("status").output


def test_down_without_a_stack_is_fine(settings: Settings) -> None:
    assert json.loads(invoke("down --json").stdout) == {"ended": []}
    assert invoke("down").exit_code == 0


def test_phantoms_then_inspect_then_ingest(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    made = invoke(f"data get phantoms --exams 1 --seed 5 --to {folder} --json")
    assert json.loads(made.stdout)["images"] == 4
    file = next(folder.rglob("*.dcm"))
    assert json.loads(invoke(f"inspect {file} --json").stdout)
    report = json.loads(invoke(f"ingest --source rsna {folder} --config smoke --json").stdout)
    assert (report["found"], report["added"], report["quarantined"]) == (4, 4, [])
    again = json.loads(invoke(f"ingest --source rsna {folder} --json").stdout)
    assert (again["known"], again["added"]) == (4, 0)


@pytest.mark.parametrize(
    "line",
    [
        "", "r-1 --rollback", "r-1 --stop-challenger", "--rollback --stop-challenger", "--shadow",
        "--canary 5", "--rollback --shadow", "r-1 --shadow --canary 5", "r-1 --canary 0",
        "r-1 --canary 101",
    ],
)  # fmt: skip
def test_deploy_wants_one_thing(settings: Settings, line: str) -> None:
    assert invoke(f"deploy {line}").exit_code == 2


def test_signing_what_is_not_there(settings: Settings) -> None:
    assert invoke("sign r-9").exit_code == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SourceNotFound, 2), (errors.NotDicom, 2), (errors.EmptyRequest, 2),
        (errors.TooLarge, 2), (errors.ReleaseNotFound, 2), (errors.SettingsInvalid, 2),
        (errors.ValidationFailed, 1), (errors.GateRefused, 1), (errors.StackNotRunning, 1),
        (errors.PortTaken, 1), (errors.NotReady, 1), (errors.MammoError, 1),
    ],
)  # fmt: skip
def test_exit_status(error: type[errors.MammoError], status: int) -> None:
    assert exit_status(error("x")) == status


def test_what_nobody_foresaw_goes_to_a_file(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    @reported
    def broken(as_json: bool = False) -> None:
        raise RuntimeError("the disk is on fire")

    with pytest.raises(typer.Exit) as ended:
        broken(as_json=False)
    told = capsys.readouterr().err
    (path,) = settings.logs_dir.glob("mammo-error-*.log")
    assert ended.value.exit_code == 1
    assert told == f"error INTERNAL: RuntimeError: the disk is on fire (details: {path})\n"
    assert "Traceback" in path.read_text()


def test_ctrl_c_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    @reported
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        interrupted()
    assert ended.value.exit_code == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        (415, {"code": "NOT_DICOM", "detail": "the file is a PNG"}, "NOT_DICOM", "a PNG"),
        (500, None, "ANSWER_UNREADABLE", "answered 500 without saying why"),
    ],
)
def test_a_problem_of_the_service_keeps_its_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: dict[str, str] | None,
    code: str,
    text: str,
) -> None:
    asked: list[httpx.Request] = []

    def answer(_: object, request: httpx.Request) -> httpx.Response:
        asked.append(request)
        full = body and body | {"type": "about:blank", "title": "", "status": status}
        return httpx.Response(status, json=full) if full else httpx.Response(status, text="oops")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", answer)
    settings = Settings(home=tmp_path, token=SecretStr("mammo_x"), _env_file=None)
    with pytest.raises(errors.MammoError, match=text) as refusal:
        cli_model.ask_service("http://x/", [("a.dcm", b"")], settings, named=False)
    assert refusal.value.code == code
    assert asked[0].headers["authorization"] == "Bearer mammo_x"


def test_sources_are_those_that_can_be_read() -> None:
    from mammo.data.sources.registry import SOURCES

    assert {one.value for one in cli_data.SourceName} == set(SOURCES)


@pytest.mark.parametrize("name", ["MAKER/A[/b]", "MAKER/[red]A", "A\\[b]", ":smile:", "\\"])
def test_a_name_from_a_header_is_shown_letter_for_letter(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show({"scanner": name}, as_json=False)
    show_rows([{"scanner": name}], ("scanner",), "Episodes")
    shown = [line for line in capsys.readouterr().out.splitlines() if name in line]
    assert len(shown) == 2
