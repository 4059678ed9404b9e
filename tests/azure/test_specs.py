"""The files of deploy/azure: Azure's own schemas take them, and their commands exist."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import mammo
from flows.azure_rollout import REFERENCE, SECRETS, read_deployment, roll_out
from flows.azure_specs import FOLDER, KINDS, find_spec, kind_of
from flows.cli import app
from mammo.errors import AzureSpecInvalid

FILES = sorted(FOLDER.glob("*.yml"))
COMPONENTS = sorted((FOLDER / "components").glob("*.yml"))
WITH_COMMANDS = [*COMPONENTS, FOLDER / "train.yml"]


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


@pytest.fixture(scope="session")
def loaded() -> dict[str, Any]:
    """Every file as the SDK reads it."""
    pytest.importorskip("azure.ai.ml", reason="azure-ai-ml is not installed: make azure-check")
    from flows.azure_specs import load_spec

    return {path.stem: load_spec(path) for path in FILES}


@pytest.mark.slow
def test_the_schemas_take_every_file(loaded: dict[str, Any]) -> None:
    assert {name: type(one).__name__ for name, one in loaded.items()} == {
        "deployment": "ManagedOnlineDeployment",
        "endpoint": "ManagedOnlineEndpoint",
        "environment": "Environment",
        "monitor": "MonitorSchedule",
        "pipeline": "PipelineJob",
        "schedule": "JobSchedule",
        "train": "Command",
    }


@pytest.mark.slow
def test_the_schemas_take_every_component() -> None:
    pytest.importorskip("azure.ai.ml", reason="azure-ai-ml is not installed: make azure-check")
    from azure.ai.ml import load_component

    made = {path.stem: load_component(path) for path in COMPONENTS}
    assert sorted(made) == ["evaluate", "prepare", "register", "train"]
    assert {one.version for one in made.values()} == {mammo.__version__}


@pytest.mark.slow
def test_the_schema_takes_the_connection_of_the_page(
    loaded: dict[str, Any], tmp_path: Path
) -> None:
    from azure.ai.ml import load_workspace_connection

    page = (FOLDER.parents[1] / "docs" / "azure.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "ghcr.yml").write_text(textwrap.dedent("   " + block.lstrip()))
    made = load_workspace_connection(
        tmp_path / "ghcr.yml", params_override=[{"credentials.password": "given"}]
    )
    assert (made.type, made.target) == ("container_registry", "ghcr.io")
    assert (made.credentials.username, made.credentials.password) == ("NAME", "given")


@pytest.mark.slow
def test_what_the_schema_refuses_is_told_in_a_line(loaded: dict[str, Any], tmp_path: Path) -> None:
    from flows.azure_specs import load_spec

    wrong = tmp_path / "deployment.yml"
    text = (FOLDER / "deployment.yml").read_text()
    wrong.write_text(text.replace("instance_type: ", "instance_typ: "))
    with pytest.raises(
        AzureSpecInvalid, match=r"read deployment\.yml: instance_type: Missing"
    ) as caught:
        load_spec(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_pipeline_goes_from_exams_to_a_release(loaded: dict[str, Any]) -> None:
    jobs = loaded["pipeline"].jobs
    assert list(jobs) == ["prepare", "train", "evaluate", "register"]
    assert jobs["train"].compute == "mammo-gpu"
    assert loaded["pipeline"].outputs["release"].type == "custom_model"
    assert loaded["schedule"].create_job.display_name == loaded["pipeline"].display_name


def commands(path: Path) -> list[list[str]]:
    """Return the words of each call of `mammo` in a file's command."""
    text = re.sub(r"\$\{\{\s*([\w.]+)\s*\}\}", r"\1", read(path)["command"])
    calls = re.findall(r"(?:^|;\s*|\$\[\[|\]\]\s*)(mammo [^;>]*)", text)
    return [shlex.split(call) for call in calls]


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_commands_and_options_exist(path: Path) -> None:
    """Each is parsed by the command line itself, up to where it would run."""
    assert commands(path)
    root: Any = typer.main.get_command(app)
    for words in commands(path):
        command, words = root, words[1:]
        while hasattr(command, "commands"):
            command, words = command.commands[words[0]], words[1:]
        given = ["7" if "seed" in word and "." in word else word for word in words]
        given = ["dicom" if word == "inputs.source" else word for word in given]
        with command.make_context(command.name, given) as context:
            assert context.params["as_json"] or command.name == "card"


def test_every_step_of_the_issue_is_there() -> None:
    ran = {path.stem: [words[1] for words in commands(path)] for path in COMPONENTS}
    assert ran == {
        "prepare": ["ingest", "data", "validate"],
        "train": ["train"],
        "evaluate": ["evaluate", "card"],
        "register": ["gate"],
    }


def test_a_refused_release_is_not_registered() -> None:
    """`set -e`: the gate's status 1 ends the step before anything is copied."""
    command = read(FOLDER / "components" / "register.yml")["command"]
    assert command.startswith("set -eu;")
    assert command.index("mammo gate") < command.index("outputs.release")


def test_everything_runs_in_the_environment_of_this_version() -> None:
    environment = read(FOLDER / "environment.yml")
    name = f"azureml:{environment['name']}:{environment['version']}"
    assert environment["version"] == mammo.__version__
    assert {read(path)["environment"] for path in WITH_COMMANDS} == {name}


def test_no_request_is_kept_and_nothing_faces_the_internet() -> None:
    deployment, endpoint = read(FOLDER / "deployment.yml"), read(FOLDER / "endpoint.yml")
    assert "data_collector" not in deployment  # it would keep patients' DICOM files
    assert deployment["app_insights_enabled"] is False  # so would its request log
    assert deployment["egress_public_network_access"] == "disabled"
    assert endpoint["public_network_access"] == "disabled"


def test_secrets_are_references_which_the_endpoint_may_read() -> None:
    given = read(FOLDER / "deployment.yml")["environment_variables"]
    assert {name for name, value in given.items() if "${{" in value} == set(SECRETS)
    assert all(REFERENCE.fullmatch(given[name]) for name in SECRETS)
    properties = read(FOLDER / "endpoint.yml")["properties"]
    assert properties == {"enforce_access_to_default_secret_stores": "enabled"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "value", ["", "a-secret-as-it-is", "${{azureml://connections/mammo}}", "${{keyvault:http://x}}"]
)
def test_a_deployment_without_its_secrets_is_none(
    loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    text = (FOLDER / "deployment.yml").read_text()
    line = f"  {name}: {value}\n" if value else ""
    changed = re.sub(rf"^  {name}: .*\n", lambda _: line, text, flags=re.MULTILINE)
    assert changed != text
    (tmp_path / "deployment.yml").write_text(changed)
    shutil.copy(FOLDER / "endpoint.yml", tmp_path)
    monkeypatch.setattr("flows.azure_rollout.FOLDER", tmp_path)
    with pytest.raises(AzureSpecInvalid, match=rf"deployment\.yml: {name} must refer to") as caught:
        roll_out(None, "x/y:1", [100])  # type: ignore[arg-type]  # it must not come to ask
    assert not value or value not in str(caught.value)


@pytest.mark.slow
def test_a_vault_may_hold_them(
    loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (FOLDER / "deployment.yml").read_text()
    vault = "${{keyvault:https://mammo.vault.azure.net/secrets/one}}"
    changed = re.sub(r"\$\{\{azureml:.*\}\}", lambda _: vault, text)
    (tmp_path / "deployment.yml").write_text(changed)
    monkeypatch.setattr("flows.azure_rollout.FOLDER", tmp_path)
    given = read_deployment("x/y:1").environment_variables
    assert {given[name] for name in SECRETS} == {vault}


def test_the_routes_are_those_of_the_service() -> None:
    from bentos.screening.edge import QUIET_PATHS
    from bentos.screening.exams import EXAMS

    routes = read(FOLDER / "deployment.yml")["environment"]["inference_config"]
    assert routes["scoring_route"]["path"] == EXAMS
    for name in ("liveness_route", "readiness_route"):
        assert routes[name]["path"] in QUIET_PATHS and routes[name]["port"] == 3000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_kinds(path: Path) -> None:
    assert kind_of(path) in KINDS.values()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "broken.yml is no YAML"),
        ("a: 1", r"\$schema none"),
        ("$schema: https://x/y.json", r"\$schema y.json; known: environment.schema.json"),
    ],
)
def test_what_is_no_spec(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(text)
    with pytest.raises(AzureSpecInvalid, match=told):
        kind_of(path)


def test_names_of_files() -> None:
    assert find_spec("pipeline") == FOLDER / "pipeline.yml"
    with pytest.raises(AzureSpecInvalid, match=r"no nothing\.yml; known: deployment, endpoint"):
        find_spec("nothing")
