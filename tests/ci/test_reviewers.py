"""Nothing is released or deployed where GitHub would ask nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ci.runner import Runner
from tests.ci.workflows import jobs, steps

STEP = ("reviewers:required", "has reviewers")
WANTED = {"deploy:deploy": "${{ inputs.environment }}", "release:approve": "release",
          "release_image:build": "models"}  # fmt: skip
"""The jobs that a person's word starts, and where it is given."""
PERSON = {"type": "required_reviewers", "prevent_self_review": True,
          "reviewers": [{"type": "User", "reviewer": {"login": "a-radiologist"}}]}  # fmt: skip
BRANCHES = {"type": "branch_policy"}


def ask(runner: Runner, answer: Any, **given: str) -> tuple[int, str]:
    known = json.dumps({"repos/Some-Owner/mammo/environments/production": answer})
    done = runner.step(*STEP, GITHUB=known, ENVIRONMENT="production", **given)
    return done.returncode, done.stderr


def test_where_somebody_is_asked_it_goes_on(runner: Runner) -> None:
    assert ask(runner, {"protection_rules": [BRANCHES, PERSON]}) == (0, "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"protection_rules": []}, "production has no required reviewers"),
        ({"protection_rules": [BRANCHES]}, "need GitHub Enterprise"),
        ({"protection_rules": [{"type": "wait_timer", "wait_timer": 30}]}, "nobody would be"),
        ({"protection_rules": [PERSON | {"reviewers": []}]}, "no required reviewers"),
        ({"name": "production"}, "no required reviewers"),
        (404, "HTTP 404"),
        (403, "HTTP 403"),
    ],
    ids=["no rules", "branches alone", "time alone", "nobody left", "no word", "none", "no right"],
)
def test_where_nobody_is_asked_it_ends(runner: Runner, answer: Any, told: str) -> None:
    status, said = ask(runner, answer)
    assert status == 1 and told in said


@pytest.mark.parametrize("name", WANTED)
def test_reviewers_are_looked_for_before_the_job_that_needs_them(name: str) -> None:
    given = dict(jobs())
    job, workflow = given[name], name.split(":")[0]
    assert job["environment"] == WANTED[name]
    needs = [job["needs"]] if isinstance(job["needs"], str) else job["needs"]
    assert "reviewers" in needs
    asked = given[f"{workflow}:reviewers"]
    assert asked["uses"] == "./.github/workflows/reviewers.yml"
    assert asked["with"] == {"environment": WANTED[name]}
    assert asked["permissions"] == {"contents": "read", "actions": "read"}
    assert "environment" not in given["reviewers:required"]


def test_a_release_is_attested_where_github_does_that() -> None:
    """A private repository below Enterprise Cloud has no attestations: the step would fail."""
    found = [one for _, one in steps() if "attest-build-provenance" in one.get("uses", "")]
    public = "github.event.repository.visibility == 'public'"
    assert [one["if"] for one in found] == [f"{public} || vars.MAMMO_ATTEST == 'true'"]
