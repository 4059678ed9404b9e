"""Is the release in an image fit to serve? Asked when the image is built, in the image itself.

    python -m bentos.screening.embedded /app/release --keys KEYS --release r-... --digest ...

Prints what it is as JSON; status 1 and the reason on stderr where the image must not be. The
keys are those of the installation that made and judged it, from a folder as in `mammo.signing`,
and never of what is checked. The image keeps that key beside the release, and the service looks
by it at the signature, and at digests and golden, once more at each start
(`bentos.screening.loading`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bentos.screening.signed_permit import PERMIT, require_permit
from mammo.errors import DigestMismatch, MammoError, ReleaseNotFound, SignatureInvalid
from mammo.release import FOR_TRAINING, MANIFEST, Release
from mammo.screening import Screener
from mammo.signing import SIGNATURE, SIGNER, require_signature, trusted_keys


def check_embedded(directory: Path, keys_dir: Path) -> dict[str, Any]:
    """Return what the release in ``directory`` is and what permitted it.

    Parameters
    ----------
    directory
        What an image embeds: manifest, what serves, signature, its key, permit; nothing else.
    keys_dir
        Public keys that are trusted for release and permit; that of the release counts for none.

    Raises
    ------
    ReleaseNotFound, SignatureInvalid, DigestMismatch, ParityError
        It is none, not signed by a trusted key, not whole, or says something else here.
    NotJudged, GateRefused
        Nothing says that the gate passed it.
    """
    release = Release.read(directory)
    _require_only(directory, release)
    trusted, digest = trusted_keys(keys_dir), release.compute_digest()
    signed = require_signature(directory, release.id, digest, trusted)
    told = require_permit(directory / PERMIT, release.id, digest, trusted)
    _require_own_key(directory, signed.key)
    Screener.load(directory)  # every digest, and the golden input
    permit = told["permit"]
    return {
        "release": release.id,
        "digest": digest,
        "key": signed.key,
        "permit": permit["text"],
        "approved_by": permit["approved_by"],
        "judged_at": told["verdict"]["at"],
    }


def _require_only(directory: Path, release: Release) -> None:
    """Refuse links and files that no digest or signature speaks of."""
    known = {MANIFEST, SIGNATURE, SIGNER, PERMIT, *set(release.files) - FOR_TRAINING}
    for path in sorted(directory.iterdir()):
        if path.name not in known or path.is_symlink() or not path.is_file():
            raise DigestMismatch(
                f"{path.name} does not belong to release {release.id}. Write the context again."
            )


def _require_own_key(directory: Path, name: str) -> None:
    """Refuse a carried key that is not the signature's: no digest speaks of that file."""
    carried = trusted_keys(directory / "keys", directory / SIGNER)  # no folder: the carried one
    if name not in carried:
        raise SignatureInvalid(
            f"{SIGNER} is {', '.join(carried) or 'missing'}; the release was signed with {name}."
        )


def _require_named(told: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Refuse a release that is another than the image's labels will say."""
    for name in ("release", "digest"):
        wanted = getattr(arguments, name)
        if wanted is not None and wanted != told[name]:
            raise ReleaseNotFound(
                f"The {name} here is {told[name]}; {wanted or 'nothing'} was asked for."
            )


def main(words: Sequence[str]) -> int:
    """Check, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bentos.screening.embedded")
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--keys", type=Path, required=True, help="folder with the *.pub that are trusted"
    )
    parser.add_argument("--release", help="refuse any other")
    parser.add_argument("--digest", help="refuse any other")
    arguments = parser.parse_args(words)
    try:
        told = check_embedded(arguments.directory, arguments.keys)
        _require_named(told, arguments)
    except MammoError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, TypeError) as error:
        print(f"{MANIFEST} cannot be read: {type(error).__name__}", file=sys.stderr)
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
