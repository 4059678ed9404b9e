"""docker-compose.yml keeps the rules; Compose itself and its schema read it where they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.docker.make_secrets import SECRETS, WRITTEN_BY_YOU, make_secrets
from tests.deploy.compose import FILE, read_compose, waves
from tests.deploy.images import DOCKER, ROOT, extras_of

COMPOSE = read_compose()
SERVICES: dict[str, Any] = COMPOSE["services"]
PROFILES = ("core", "monitoring", "archive")


def find_program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"no {name} is installed")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_compose_itself_reads_it() -> None:
    profiles = [word for one in PROFILES for word in ("--profile", one)]
    done = run(find_program("docker-compose"), "-f", str(FILE), *profiles, "config")
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)


def test_the_schema_of_compose_holds() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    done = run(find_program("check-jsonschema"), *schema, str(FILE))
    assert done.returncode == 0, done.stdout


def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    promtool = find_program("promtool")
    text = (DOCKER / "prometheus.yml").read_text().replace("/run/tokens", str(tmp_path))
    rules = ROOT / "dashboards"
    (tmp_path / "prometheus").write_text("token")
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/etc/prometheus/rules/*.yml", f"{rules}/*-rules.yml")
    )
    done = run(promtool, "check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0 and "rules found" in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_keeps_the_rules(name: str) -> None:
    service = SERVICES[name]
    assert service["profiles"] and set(service["profiles"]) <= set(PROFILES)
    assert re.fullmatch(r"\S+:(local|v?\d+\.\d+\S*)", service["image"]), "pinned, not latest"
    assert service["read_only"] and "no-new-privileges:true" in service["security_opt"]
    assert name == "postgres" or service["cap_drop"] == ["ALL"]
    assert service["networks"] and set(service["networks"]) <= set(COMPOSE["networks"])
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0 and re.fullmatch(r"\d+[GM]", limits["memory"])
    ends = name in ("first", "deployments")
    assert service["healthcheck"] == {"disable": True} if ends else service["healthcheck"]["test"]
    for before, wanted in service.get("depends_on", {}).items():
        ended = before in ("first", "deployments")
        state = "service_completed_successfully" if ended else "service_healthy"
        assert wanted == {"condition": state}
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "only this machine's loopback"


def test_no_secret_is_in_the_file() -> None:
    """Secrets are files; no variable of a container has one."""
    assert set(COMPOSE["secrets"]) == set(SECRETS)
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|TOKEN|KEY|DATABASE_URL|WEBHOOK|WATCHDOG", variable)
            assert not secret or variable.endswith(("_FILE", "__FILE")), (name, variable)
            assert "://" not in str(value) or "@" not in str(value), (name, variable)
    assert not re.search(r"(?i)password[=:] *[a-z0-9]{6}", FILE.read_text())


@pytest.mark.parametrize(
    ("network", "members"),
    [
        ("state", {"postgres", "first", "prefect", "mlflow", "service", "gateway", "reports",
                   "guard", "deployments", "worker", "grafana"}),
        ("watch", {"service", "reports", "prometheus", "alertmanager", "grafana"}),
        ("archive", {"gateway", "orthanc", "worker"}),
    ],
)  # fmt: skip
def test_who_sees_whom(network: str, members: set[str]) -> None:
    assert {name for name, one in SERVICES.items() if network in one["networks"]} == members
    assert COMPOSE["networks"][network] == {"internal": True}


def test_who_fetches_from_outside_gets_there() -> None:
    """Flows ask a DICOMweb archive and keep data at a remote; reports go to archives by DICOM."""
    flows = {name for name, one in SERVICES.items() if "prefect worker" in one.get("command", "")}
    assert flows == {"worker"} and "s3" in extras_of("worker")
    for name in (*flows, "gateway"):
        ways = {one for one in SERVICES[name]["networks"] if not is_internal(one)}
        assert ways, f"{name} is in networks alone that lead nowhere"
    assert {name for name, one in SERVICES.items() if "outside" in one["networks"]} == flows
    named = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert "ingest_dicomweb" in {one["name"] for one in named}, "what the worker's network is for"


def is_internal(network: str) -> bool:
    return bool((COMPOSE["networks"][network] or {}).get("internal"))


def test_images_that_are_built_are_those_of_the_dockerfiles() -> None:
    built = {one["build"]["dockerfile"] for one in SERVICES.values() if "build" in one}
    assert built == {f"deploy/docker/{path.name}" for path in DOCKER.glob("*.Dockerfile")}
    made = {one["image"] for one in SERVICES.values() if "build" in one}
    ours = {one["image"] for one in SERVICES.values() if one["image"].endswith(":local")}
    assert ours == made


def test_what_is_bound_is_there() -> None:
    bound = [m.split(":")[0] for one in SERVICES.values() for m in one.get("volumes", [])]
    assert [path for path in bound if path.startswith(".") and not (ROOT / path).exists()] == []


def test_nothing_starts_before_what_it_needs() -> None:
    order = waves(SERVICES)
    place = {name: number for number, wave in enumerate(order) for name in wave}
    assert place["postgres"] < place["first"] < place["service"] < place["gateway"]
    assert place["prefect"] < place["deployments"] < place["worker"]


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    assert make_secrets(tmp_path / "secrets") == list(SECRETS)
    first = {one.name: one.read_text() for one in (tmp_path / "secrets").iterdir()}
    (tmp_path / "secrets" / "orthanc_users").unlink()
    assert make_secrets(tmp_path / "secrets") == ["orthanc_users"]
    again = {one.name: one.read_text() for one in (tmp_path / "secrets").iterdir()}
    assert {n for n in first if first[n] != again[n]} == {"orthanc_users"}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    modes = {name: (tmp_path / "secrets" / name).stat().st_mode & 0o777 for name in SECRETS}
    assert modes == {name: 0o644 if name in WRITTEN_BY_YOU else 0o444 for name in SECRETS}
    assert all((first[name] == "") == (name in WRITTEN_BY_YOU) for name in SECRETS)
    assert (tmp_path / "secrets" / ".gitignore").read_text() == "*\n"
