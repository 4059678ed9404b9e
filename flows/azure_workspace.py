"""The Azure ML workspace: which one, as whom, and what its refusals mean.

azure-ai-ml is imported when a workspace is opened: it takes seconds, and most
installations never need it (extra `azure`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, SettingsConfigDict

from mammo.errors import (
    AzureConflict,
    AzureError,
    AzureForbidden,
    AzureNotFound,
    AzureSignedOut,
    AzureSpecInvalid,
    AzureThrottled,
    AzureUnreachable,
    AzureUnset,
)

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

RETRIES = 3
"""How often a request that may be sent again is; each waits as long as Retry-After says."""
BY_STATUS: dict[int, type[AzureError]] = {
    401: AzureSignedOut,
    403: AzureForbidden,
    404: AzureNotFound,
    409: AzureConflict,
    429: AzureThrottled,
}
ADVICE = {
    401: "sign in (`az login`), or give the job an identity; then run it again",
    403: "ask the workspace's owner for the role AzureML Data Scientist",
    404: "look at MAMMO_AZURE_SUBSCRIPTION, _RESOURCE_GROUP and _WORKSPACE, and at the name",
    409: "wait for the change under way; other contents need a new name or version",
    429: "wait, then run it again: what was done is kept",
}


class AzureSettings(BaseSettings):
    """Where the workspace is; `.env.example` lists the variables."""

    model_config = SettingsConfigDict(env_prefix="MAMMO_AZURE_", env_file=".env", extra="ignore")

    subscription: str | None = None
    resource_group: str | None = None
    workspace: str | None = None

    def require(self) -> tuple[str, str, str]:
        """Return all three, or say which are missing.

        Raises
        ------
        AzureUnset
            One of them is not set.
        """
        given = self.model_dump()
        missing = [f"MAMMO_AZURE_{name.upper()}" for name, value in given.items() if not value]
        if missing:
            raise AzureUnset(
                f"{', '.join(missing)} not set: name the workspace, in the environment or .env"
            )
        return str(self.subscription), str(self.resource_group), str(self.workspace)


def default_credential() -> Any:
    """Return what azure-identity finds: environment, workload or managed identity, `az login`."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential(exclude_interactive_browser_credential=True)


def open_workspace(settings: AzureSettings, credential: Any = None) -> MLClient:
    """Return a client of the workspace; asks nothing yet.

    Other clouds than the public one are chosen as for Azure's own tools, by
    ``AZUREML_CURRENT_CLOUD`` and ``ARM_CLOUD_METADATA_URL``.

    Raises
    ------
    AzureUnset
        No workspace is named, or the extra `azure` is not installed.
    """
    subscription, group, workspace = settings.require()
    try:
        from azure.ai.ml import MLClient
    except ImportError as error:
        raise AzureUnset(
            "azure-ai-ml is missing: pip install -e '.[azure]' in the checkout"
        ) from error
    return MLClient(
        credential or default_credential(),
        subscription,
        group,
        workspace,
        enable_telemetry=False,  # the SDK would report its use to its maker
        retry_total=RETRIES,
        retry_status=RETRIES,
    )


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn the SDK's errors into ours; ``what`` says what was being done.

    Raises
    ------
    AzureError
        Or the one of its children that fits. Never the answer's body: only Azure's
        own code and message of a line.
    """
    from azure.ai.ml.exceptions import MlException
    from azure.core import exceptions as core
    from marshmallow.exceptions import ValidationError

    try:
        yield
    except core.ClientAuthenticationError as error:
        raise _refused(what, error, error.status_code or 401) from error
    except core.HttpResponseError as error:
        raise _refused(what, error, error.status_code or 0) from error
    except (core.ServiceRequestError, core.ServiceResponseError) as error:
        text = f"{what}: no answer ({type(error).__name__}); look at the network and the proxy"
        raise AzureUnreachable(text) from error
    except (MlException, ValidationError) as error:
        raise AzureSpecInvalid(f"{what}: {_complaints(str(error))}") from error


def may_pass(error: AzureError) -> bool:
    """Return whether the same may be answered later: nobody did, come again, a fault of Azure."""
    status = getattr(error.__cause__, "status_code", None) or 0
    return isinstance(error, AzureUnreachable | AzureThrottled) or status >= 500


def _refused(what: str, error: Any, status: int) -> AzureError:
    told_code = getattr(getattr(error, "error", None), "code", None) or error.reason or "refused"
    text = f"{what}: {status} {told_code}"
    said = _first_line(getattr(getattr(error, "error", None), "message", None) or "")
    if said:
        text += f", {said.rstrip('.')}"
    response = getattr(error, "response", None)
    wait = (response.headers if response is not None else {}).get("Retry-After")
    if status == 429 and wait:
        text += f", come again in {wait} s"
    if advice := ADVICE.get(status):
        text += f". {advice[0].upper()}{advice[1:]}."
    return BY_STATUS.get(status, AzureError)(text)


def _complaints(text: str) -> str:
    """Return what the SDK's validation found, which it tells as JSON, in one line."""
    try:
        found = json.loads(text[text.index("{") : text.rindex("}") + 1])
        errors = {one["path"]: one["message"] for one in found.get("errors", ())} or found
        return "; ".join(f"{path}: {_first_line(_joined(said))}" for path, said in errors.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        return _first_line(text)


def _joined(said: Any) -> str:
    return " ".join(map(str, said)) if isinstance(said, list) else str(said)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else ""
