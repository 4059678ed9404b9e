"""A person's word on a release that the gate passed and could not have told enough of.

    approve(settings, "r-20261128-1a2b3c4d", reason="reread 40 of its new recalls")

Where tokens were made, the approver's token must have the role ``approve``; on an
installation that has none (open only to its own machine, as the service then is) the
user of the machine answers for it, and the record says so. A release that the gate
refused is not approved: there is no way around the gate.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import Any

from mammo.errors import ApproverNotAllowed, GateRefused, NotJudged
from mammo.prediction_log import PredictionLog
from mammo.release import Release, find_release
from mammo.settings import Settings
from mammo.tokens import TokenStore

ROLE = "approve"


def approve(settings: Settings, release_id: str, *, reason: str) -> dict[str, Any]:
    """Write down that a person approves a release; return who approved what, and why it was asked.

    ``new`` is False where it was approved before: the first word stays.

    Raises
    ------
    ReleaseNotFound, DigestMismatch
        There is no such release, or it was changed after it was made.
    NotJudged, GateRefused
        The gate never saw it, or refused it.
    ApproverNotAllowed
        The approver lacks the role, or gave no reason.
    """
    release = Release.read(find_release(settings.releases_dir, release_id), verify=True)
    log = PredictionLog(settings.log_url).create()
    verdict = log.verdict_on(release.digest)
    if verdict is None:
        raise NotJudged(
            f"Release {release_id} never met the gate, so there is nothing to approve: "
            f"`mammo gate {release_id}` judges it."
        )
    decision = verdict["decision"]
    if not verdict["passed"]:
        raise GateRefused(
            f"The gate refused {release_id} ({', '.join(decision['failed'])}); a refused release "
            f"cannot be approved. What would make it pass:\n{decision['summary']}"
        )
    by, roles = approver(settings)
    if not reason.strip():
        raise ApproverNotAllowed("Say why you approve it: the reason is part of the record.")
    values = {"release_id": release_id, "by": by, "roles": ",".join(roles), "reason": reason}
    new = log.add_approval(release.digest, **values)
    found = log.approval_of(release.digest)
    assert found is not None
    told = {name: found[name] for name in ("release_id", "by", "roles", "reason", "at")}
    return told | {"new": new, "asked_because": decision.get("approval")}


def approver(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Return who asks and with which roles; raises ApproverNotAllowed without the role."""
    store = TokenStore(settings.tokens_path)
    if not store.exists():
        return f"local:{getpass.getuser()}", ("local",)
    secret = settings.token.get_secret_value().strip() if settings.token else ""
    token = store.find(secret) if secret else None
    if token is None:
        raise ApproverNotAllowed(
            "Approving needs a token with the role approve in MAMMO_TOKEN; "
            "`mammo token add NAME --role approve` makes one."
        )
    if ROLE not in token.roles:
        raise ApproverNotAllowed(
            f"The token of {token.name} has the roles {', '.join(token.roles)}; approving a "
            "release needs the role approve. Let somebody approve it who has it."
        )
    return token.name, token.roles


@dataclass(frozen=True)
class Standing:
    """What the gate and people have said of a release.

    ``passed`` and ``asked``, why a person must approve it, are of its newest verdict;
    ``passed`` is False without one. ``approved`` is True once a person has said yes.
    """

    passed: bool
    asked: str | None
    approved: bool


def standing(settings: Settings, release_id: str) -> Standing:
    """Return what the gate and people have said of a release; raises ReleaseNotFound."""
    release = Release.read(find_release(settings.releases_dir, release_id))
    log = PredictionLog(settings.log_url).create()
    verdict = log.verdict_on(release.digest)
    approved = log.approval_of(release.digest) is not None
    if verdict is None:
        return Standing(False, None, approved)
    return Standing(bool(verdict["passed"]), verdict["decision"].get("approval"), approved)


def needs_approval(settings: Settings, release_id: str) -> str | None:
    """Return why a person must still approve a release; None where nobody must, or one has.

    None says neither that the gate passed it nor that anybody approved it: `standing` does.
    """
    said = standing(settings, release_id)
    return said.asked if said.passed and not said.approved else None
