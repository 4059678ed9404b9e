"""Loads a release for service: first who made it, then whether it is whole, then its golden."""

from __future__ import annotations

from pathlib import Path

from mammo.errors import SignatureInvalid
from mammo.reading import ViewReader
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings
from mammo.signing import SIGNER, Signature, require_signature, trusted_keys


class VerifiedLoad:
    """What `Rollout` loads releases with.

    Parameters
    ----------
    settings
        Where the trusted keys are, and whether a signature is required.
    reader
        Reads the files of exams; the default one when left out.
    embedded
        The release inside the Bento that runs this code; the key that it carries
        is trusted where the home trusts none.
    """

    def __init__(
        self, settings: Settings, reader: ViewReader | None = None, embedded: Path | None = None
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._embedded = embedded

    def __call__(self, directory: Path) -> Screener:
        """Load the release in a folder.

        Raises ReleaseNotFound, SignatureInvalid, DigestMismatch or ParityError.
        """
        if not self._settings.require_signature:
            return Screener.load(directory, reader=self._reader)
        signed = require_signed(directory, self._settings, self._embedded)
        screener = Screener.load(directory, reader=self._reader)
        if screener.release.digest != signed.digest:
            raise SignatureInvalid(
                f"Release {signed.release} was exchanged while it was loaded. Deploy it again."
            )
        return screener


def require_signed(directory: Path, settings: Settings, embedded: Path | None = None) -> Signature:
    """Return the signature of a trusted key over this very manifest, or raise SignatureInvalid.

    The digest is computed here, not taken from the manifest; that the files fit
    the manifest is for `Release.verify`.
    """
    carried = embedded / SIGNER if embedded is not None and directory == embedded else None
    release = Release.read(directory)
    trusted = trusted_keys(settings.keys_dir, carried)
    return require_signature(directory, release.id, release.compute_digest(), trusted)
