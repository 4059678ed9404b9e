"""Writes what the image of a release is built from: a folder with a Dockerfile and the release.

    CONTEXT/Dockerfile      FROM the service's own image, which is given by digest
    CONTEXT/release/        what serves of the release, its signature and the key to that
    CONTEXT/release/permit.json   what permitted it (`bentos.screening.signed_permit`)

Where a release was judged is not where images are built: whoever builds needs the folder and this
installation's public key, and neither the log with the gate's books nor the private key.
Why not ``bentoml containerize``: docs/ci.md.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from bentos.screening.change_record import Why
from bentos.screening.embedded import check_embedded
from bentos.screening.loading import require_signed
from bentos.screening.packaging import ROOT, carry_signature
from bentos.screening.permission import require_permitted
from bentos.screening.signed_permit import PERMIT, write_permit
from mammo.data.durable import storing
from mammo.errors import GateRefused, NotJudged, PackagingFailed, SignatureInvalid
from mammo.prediction_log import PredictionLog
from mammo.release import FOR_TRAINING, MANIFEST, Release, find_release
from mammo.settings import Settings
from mammo.signing import key_name, signing_key

DOCKERFILE = ROOT / "deploy" / "docker" / "release" / "Dockerfile"
FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""The service runs as another user than owns the image's files, and may not change them."""


def write_context(release_id: str, settings: Settings, folder: Path) -> dict[str, Any]:
    """Write the build context of a release that may go into service; return what it holds.

    The folder appears when it is complete. What was written was checked as the image will
    check it, against the keys that this installation trusts.

    Raises
    ------
    ReleaseNotFound, DigestMismatch, SignatureInvalid, ParityError
        There is no such release, it was changed, no trusted key signed it, or it says
        something else than where it was made.
    NotJudged, GateRefused, ApprovalNeeded, ChangeNotCovered
        The change-control plan does not permit it as champion (`require_permitted`).
    PackagingFailed
        The folder is there already, or this is an installed copy without the Dockerfile.
    DiskFull, StoreReadOnly
        The folder cannot be written.
    """
    if folder.exists():
        raise PackagingFailed(f"{folder.name} is there already: name a folder that is not.")
    if not DOCKERFILE.is_file():
        raise PackagingFailed("The Dockerfile is in the checkout, and this is an installed copy.")
    directory = find_release(settings.releases_dir, release_id)
    release = Release.read(directory, verify=True)
    _require_own(release, directory, settings)
    permit = require_permitted(settings, directory, "champion", Why("image of the service"))
    verdict = _require_passed(settings, release)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        storing(folder.parent),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as draft,
    ):
        whole = Path(draft) / "context"
        embedded = whole / "release"
        embedded.mkdir(parents=True)
        shutil.copyfile(DOCKERFILE, whole / DOCKERFILE.name)
        for name in (MANIFEST, *(one for one in release.files if one not in FOR_TRAINING)):
            shutil.copyfile(directory / name, embedded / name)
        carry_signature(directory, embedded, settings)
        write_permit(embedded / PERMIT, release, permit, verdict, settings.keys_dir)
        told = check_embedded(embedded, settings.keys_dir)
        _let_others_read(whole)
        whole.rename(folder)
    return told


def _require_own(release: Release, directory: Path, settings: Settings) -> None:
    """Refuse a release of another installation: one key must vouch for release and permit."""
    signed = require_signed(directory, settings)
    own = key_name(signing_key(settings.keys_dir).public_key())
    if signed.key != own:
        raise SignatureInvalid(
            f"Release {release.id} was signed elsewhere, with key {signed.key}; it was judged "
            f"here, where the key is {own}. `mammo sign {release.id}` puts this one under it."
        )


def _require_passed(settings: Settings, release: Release) -> dict[str, Any]:
    """Return the verdict; what is in service, and so permitted again, may have none."""
    verdict = PredictionLog(settings.log_url).create().verdict_on(release.digest)
    if verdict is None:
        raise NotJudged(
            f"Release {release.id} is in service and was never judged by the gate: no image is "
            f"made of it. `mammo gate {release.id}` judges it."
        )
    if not verdict["passed"]:
        raise GateRefused(f"The gate's newest verdict on release {release.id} is a refusal.")
    return verdict


def _let_others_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
