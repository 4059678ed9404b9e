"""What permitted a release, signed, so that it can be shown where the gate's books are not.

    permit.json   the release's id and digest, the clause of the plan, the gate's verdict,
                  who approved, and a signature over all of it

The books are in the log of the installation that judged; an image is built elsewhere. The
signature (Ed25519, RFC 8032) is over a context of its own and the canonical JSON without it.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from bentos.screening.permit import Permit
from mammo import __version__
from mammo.audit_chain import to_line
from mammo.errors import GateRefused, NotJudged, SignatureInvalid
from mammo.release import Release, write_json
from mammo.signing import ALGORITHM, Trusted, key_name, signing_key

PERMIT = "permit.json"
CONTEXT = b"mammo permit of a release 1\n"
"""Begins what is signed: a signature of a release or of a record is none for a permit."""


def write_permit(
    path: Path, release: Release, permit: Permit, verdict: dict[str, Any], keys_dir: Path
) -> None:
    """Write what permits a release, signed with this installation's key.

    ``verdict`` is the gate's row of the log. Raises what `mammo.signing.signing_key` raises.
    """
    key = signing_key(keys_dir)
    decision = verdict["decision"] or {}
    told = {
        "release": release.id,
        "digest": release.digest,
        "permit": permit.to_dict(),
        "verdict": {
            "key": verdict["key"],
            "at": verdict["at"].isoformat(),
            "champion": verdict["champion"],
            "passed": bool(verdict["passed"]),
            "clauses": {one["name"]: one.get("state") for one in decision.get("clauses", ())},
        },
        "written_at": datetime.now(UTC).isoformat(),
        "mammo": __version__,
    }
    signature = base64.b64encode(key.sign(CONTEXT + to_line(told))).decode()
    signed = {"algorithm": ALGORITHM, "key": key_name(key.public_key()), "signature": signature}
    write_json(path, told | {"signature": signed})


def require_permit(path: Path, release_id: str, digest: str, trusted: Trusted) -> dict[str, Any]:
    """Return the permit of exactly this release, signed by a trusted key.

    ``digest`` must be one that was computed, not only read.

    Raises
    ------
    NotJudged
        There is none, or it is another release's.
    GateRefused
        It tells of a verdict that was none of passing.
    SignatureInvalid
        It cannot be read, its key is not trusted, or it was changed.
    """
    if not path.is_file():
        raise NotJudged(
            f"Nothing says that the gate passed release {release_id}: {path.name} is missing. "
            f"`mammo release context {release_id} FOLDER` writes it where it was judged."
        )
    told = _read(path, trusted)
    if (told["release"], told["digest"]) != (release_id, digest):
        raise NotJudged(
            f"{path.name} permits release {told['release']} (digest {told['digest'][:12]}), not "
            f"{release_id} (digest {digest[:12]})."
        )
    if told["verdict"]["passed"] is not True:
        raise GateRefused(f"{path.name} says that the gate did not pass release {release_id}.")
    return told


def _read(path: Path, trusted: Trusted) -> dict[str, Any]:
    """Return what the file tells without its signature, once that holds."""
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        signed = told.pop("signature")
        name, given = str(signed["key"]), base64.b64decode(signed["signature"], validate=True)
        public = trusted.get(name)
        if public is not None and signed["algorithm"] == ALGORITHM:
            public.verify(given, CONTEXT + to_line(told))
            return told
    except InvalidSignature as error:
        raise SignatureInvalid(
            f"The signature of {path.name} does not fit: it was changed after it was signed."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SignatureInvalid(f"{path.name} is no signed permit: write it again.") from error
    raise SignatureInvalid(
        f"{path.name} was signed with key {name} ({signed['algorithm']}); trusted are "
        f"{', '.join(sorted(trusted)) or 'none'}."
    )
