"""Loads a release for service: first who made it, then whether it is whole, then its golden."""

from __future__ import annotations

from pathlib import Path

from mammo.errors import SignatureInvalid
from mammo.reading import ViewReader
from mammo.release import Release
from mammo.screening import Screener
from mammo.settings import Settings
from mammo.signing import SIGNER, Signature, require_signature, trusted_keys

HOUSE_KEY = Path("house", "house.pub")
"""Beside the release in an image: the key that its builder was given apart from the release."""


class VerifiedLoad:
    """What `Rollout` loads releases with.

    Parameters
    ----------
    settings
        Where the trusted keys are, and whether a signature is required.
    reader
        Reads the files of exams; the default one when left out.
    embedded
        The release inside the Bento or image that runs this code; where the home
        trusts no key, the house's beside it is (`HOUSE_KEY`), else the one it carries.
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
    carried = _key_beside(embedded) if embedded is not None and directory == embedded else None
    release = Release.read(directory)
    trusted = trusted_keys(settings.keys_dir, carried)
    return require_signature(directory, release.id, release.compute_digest(), trusted)


def _key_beside(embedded: Path) -> Path:
    """Return the house's key in an image, in which no other counts; a Bento has its own alone."""
    house = embedded.parent / HOUSE_KEY
    return house if house.parent.is_dir() else embedded / SIGNER
