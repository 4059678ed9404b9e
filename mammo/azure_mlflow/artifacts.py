"""The files of a run in an Azure ML workspace.

The run history makes an empty entry for each file and gives an address in the workspace's
storage with a signature of its own; the file is put there in blocks. An entry cannot be
written twice: what is logged again under the same name goes beside it as ``NAME.2``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from mammo.azure_mlflow.asking import ask
from mammo.azure_mlflow.tokens import tokens_of
from mammo.azure_mlflow.workspace import Workspace
from mammo.errors import AzureConflict, AzureError, AzureNotFound, AzureUnset

BATCH_FILES = 50
BLOCK_BYTES = 32 * 2**20
VERSIONS = 9
"""How often a file of one name may be logged."""
RUN = re.compile(r"/experiments/([^/]+)/runs/([^/]+)(?:/artifacts(?:/(.*))?)?$")


class RunFiles(ArtifactRepository):
    """Files of one run, by their paths in it."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        found = RUN.search(artifact_uri)
        if found is None:
            raise AzureUnset("the workspace gave the run a place for files of an unknown form")
        whole = artifact_uri if "/subscriptions/" in artifact_uri else tracking_uri or ""
        self._workspace = Workspace.from_uri(whole)
        self._run = f"/experiments/{quote(found[1], safe='')}/runs/{quote(found[2], safe='')}"
        self._below = (found[3] or "").strip("/")

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Upload a file."""
        self._upload({self._place(artifact_path, Path(local_file).name): Path(local_file)})

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Upload a folder's files, with their paths below it."""
        folder = Path(local_dir)
        files = {
            self._place(artifact_path, path.relative_to(folder).as_posix()): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        names = list(files)
        for start in range(0, len(names), BATCH_FILES):
            self._upload({name: files[name] for name in names[start : start + BATCH_FILES]})

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Return files and folders directly below a path; sizes are not known."""
        root = self._place(path)
        prefix = f"{root}/" if root else ""
        found: dict[str, bool] = {}
        for one in self._paths():
            if one.startswith(prefix):
                head, _, rest = one.removeprefix(prefix).partition("/")
                found[prefix + head] = found.get(prefix + head, False) or bool(rest)
        cut = f"{self._below}/" if self._below else ""
        return [FileInfo(one.removeprefix(cut), folder, None) for one, folder in found.items()]

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        from mlflow.utils.file_utils import download_file_using_http_uri

        place = self._place(remote_file_path)
        address = self._ask("/contentinfo", "GET", params={"path": place}).get("contentUri")
        if not address:
            raise AzureNotFound(f"the run has no file {place}")
        with _told(place):
            download_file_using_http_uri(address, local_path)

    def _place(self, *parts: str | None) -> str:
        path = PurePosixPath(self._below, *(one for one in parts if one))
        return path.as_posix() if path.parts else ""

    def _paths(self) -> Iterator[str]:
        query: dict[str, str] = {}
        while True:
            page = self._ask("", "GET", params=query)
            yield from (str(one["path"]) for one in page.get("value", ()))
            if not page.get("continuationToken"):
                return
            query = {"continuationToken": page["continuationToken"]}

    def _ask(self, below: str, method: str, **request: Any) -> dict[str, Any]:
        token = tokens_of(self._workspace).token()
        path = f"{self._run}/artifacts{below}"
        found: dict[str, Any] = ask(
            self._workspace.history_url, token, path, method, **request
        ).json()
        return found

    def _upload(self, files: dict[str, Path]) -> None:
        left = {place: (place, path) for place, path in files.items()}
        for version in range(2, VERSIONS + 2):
            taken = self._put(left)
            if not taken:
                return
            left = {_numbered(own, version): (own, path) for own, path in taken.values()}
        raise AzureConflict(f"{min(left)} was logged {VERSIONS} times: a workspace keeps all")

    def _put(self, files: dict[str, tuple[str, Path]]) -> dict[str, tuple[str, Path]]:
        """Upload files by their places; return those whose place is taken."""
        asked = {"paths": [{"path": place} for place in files]}
        answer = self._ask("/batch/metadata", "POST", json=asked)
        errors = {place: _message(one) for place, one in (answer.get("errors") or {}).items()}
        if other := {p: e for p, e in errors.items() if "already exists" not in e.lower()}:
            raise AzureError(f"the workspace takes no file {min(other)}")
        made = answer.get("artifactContentInformation") or {}
        for place in files.keys() - errors.keys():
            if place not in made:
                raise AzureError(f"the workspace gave no place for {place}")
            _put_blob(made[place]["contentUri"], files[place][1], place)
        return {place: files[place] for place in errors}


def _message(refused: Any) -> str:
    inner = refused.get("error") if isinstance(refused, dict) else None
    return str((inner or {}).get("message", ""))


def _numbered(place: str, version: int) -> str:
    path = PurePosixPath(place)
    return path.with_name(f"{path.stem}.{version}{path.suffix}").as_posix()


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn the storage's errors into ours: theirs quote the address with its signature."""
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        told = f"with {status}" if status else f"({type(error).__name__})"
        raise AzureError(
            f"the workspace's storage refused {place} {told}: look at its firewall and "
            "private endpoint"
        ) from None


def _put_blob(address: str, path: Path, place: str) -> None:
    """Put a file in blocks to a signed address (Put Block, Put Block List)."""
    from mlflow.azure.client import put_block, put_block_list

    blocks: list[str] = []
    with path.open("rb") as file, _told(place):
        while data := file.read(BLOCK_BYTES):
            blocks.append(base64.b64encode(f"{len(blocks):08d}".encode()).decode())
            put_block(address, blocks[-1], data, headers={})
        put_block_list(address, blocks, headers={})
