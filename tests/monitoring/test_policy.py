"""The policy file: what is read, and that nothing wrong in it is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammo.errors import SourceInvalid
from mammo.models.config import CONFIGS
from mammo.settings import Settings
from monitoring.config import MonitorConfig
from monitoring.policy import POLICY_FILE, read_policy, read_policy_file


def write(folder: Path, text: str) -> Path:
    path = folder / POLICY_FILE
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert read_policy(Settings(home=tmp_path)) == MonitorConfig()


def test_the_home_file_decides(tmp_path: Path) -> None:
    write(
        tmp_path,
        "drift:\n  policy: evidently\n  evidently: {method: wasserstein, threshold: 1e-1}\n"
        "  strata: [scanner]\n",
    )
    config = read_policy(Settings(home=tmp_path))
    assert (config.policy, config.evidently_method) == ("evidently", "wasserstein")
    assert (config.evidently_threshold, config.strata) == (0.1, ("scanner",))
    assert config.evidently_share == MonitorConfig().evidently_share


@pytest.mark.parametrize(("name", "policy"), [("default", "control"), ("evidently", "evidently")])
def test_every_file_that_is_shipped_is_read(name: str, policy: str) -> None:
    assert read_policy_file(CONFIGS / "monitor" / f"{name}.yaml").policy == policy


def test_no_file_is_shipped_that_is_not_tested() -> None:
    shipped = {path.stem for path in (CONFIGS / "monitor").glob("*.yaml")}
    assert shipped == {"default", "evidently"}


def test_the_default_file_changes_nothing() -> None:
    assert read_policy_file(CONFIGS / "monitor" / "default.yaml") == MonitorConfig()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("drift: {polcy: control}", r"polcy \(did you mean policy\?\)\. Allowed: .*policy"),
        ("drift: {evidently: {methd: ks}}", r"evidently_methd \(did you mean evidently_method"),
        ("drfit: {policy: control}", r"section drfit \(did you mean drift\?\)"),
        ("drift: {policy: evidenty}", "drift.policy is 'evidenty'; allowed are control, evid"),
        ("drift: {evidently: {method: chisq}}", "drift.evidently_method is 'chisq'; allowed are"),
        ("drift: {evidently: {threshold: 0}}", "evidently_threshold is 0; allowed is more than 0"),
        ("drift: {evidently: {share: 1.5}}", "evidently_share is 1.5; .* at most 1"),
        ("drift: {evidently: {threshold: small}}", "threshold is 'small'; allowed is float"),
        ("drift: {window_exams: 12.5}", "window_exams is 12.5; allowed is int"),
        ("drift: {window_exams: -1}", "window_exams is -1; allowed is more than 0"),
        ("drift: {window_exams: yes}", "window_exams is 'yes'; allowed is int"),
        ("drift: {strata: [site, machine]}", "part of a stratum machine"),
        ("drift: {window_exams: true}", "window_exams is True; allowed is int"),
        ("drift: {levels: [version, region]}", "level region"),
        ("drift: {channel_groups_off: [imges]}", r"channels imges \(did you mean image\?\)"),
        ("drift: {outcome_share: 2}", "outcome_share is 2; .* at most 1"),
        ("drift: [policy]", "allowed is `drift:` with settings"),
        ("[policy]", "allowed is `drift:` with settings"),
        ("drift: {", "is no YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SourceInvalid, match=told):
        read_policy_file(write(tmp_path, text))


def test_an_empty_file_is_no_trouble(tmp_path: Path) -> None:
    assert read_policy_file(write(tmp_path, "# nothing set\n")) == MonitorConfig()
