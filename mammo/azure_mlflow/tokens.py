"""Bearer tokens of a workspace: a job's own, renewed by the run history, or Entra's."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from mammo.azure_mlflow.asking import ask
from mammo.azure_mlflow.workspace import Job, Workspace, find_job
from mammo.errors import AzureError, AzureSignedOut, AzureUnset

_log = logging.getLogger(__name__)
AHEAD_SECONDS = 300.0
"""A job's token is renewed so long before it ends."""
AGAIN_SECONDS = 30.0


class Tokens(Protocol):
    """Where bearer tokens come from."""

    def token(self) -> str:
        """Return one that is good now."""


class JobTokens:
    """The token that Azure ML gave to a job, kept fresh until the process ends.

    It must be renewed before it ends, and a training takes longer than it lasts: a
    thread does so from the first use on.
    """

    def __init__(self, workspace: Workspace, job: Job) -> None:
        self._workspace, self._job = workspace, job
        self._lock = threading.Lock()
        self._token, self._ends_at = job.token, expiry(job.token)
        if job.renewal is not None and self._ends_at is not None:
            threading.Thread(target=self._keep_fresh, daemon=True, name="azure-token").start()

    def token(self) -> str:
        """Return the token, renewed where it is about to end.

        Raises
        ------
        AzureSignedOut
            It has ended and could not be renewed.
        """
        with self._lock:
            if self._left() < AHEAD_SECONDS:
                self._renew()
            return self._token

    def _left(self) -> float:
        return float("inf") if self._ends_at is None else self._ends_at - time.time()

    def _renew(self) -> None:
        try:
            self._token, self._ends_at = self._fetch()
        except AzureError as error:
            if self._left() <= 0:
                raise AzureSignedOut(
                    f"the job's token has ended and was not renewed ({error.code}): "
                    "run the job again"
                ) from error
            _log.warning("the job's token was not renewed: %s", error.code)

    def _fetch(self) -> tuple[str, float | None]:
        if self._job.renewal is None:
            raise AzureSignedOut("the environment names no experiment to renew the token by")
        answer = ask(self._workspace.history_url, self._token, self._job.renewal, "GET")
        found = answer.json()
        told = found.get("expiryTimeUtc")
        ends_at = datetime.fromisoformat(told).timestamp() if told else expiry(found["token"])
        return found["token"], ends_at

    def _keep_fresh(self) -> None:
        while True:
            time.sleep(max(AGAIN_SECONDS, self._left() - AHEAD_SECONDS))
            try:
                self.token()
            except AzureSignedOut as error:  # told again by the next request
                _log.warning("the job's token cannot be kept: %s", error.code)
                return


class EntraTokens:
    """What azure-identity finds: environment, workload or managed identity, `az login`."""

    def __init__(self, workspace: Workspace) -> None:
        self._scope = workspace.token_scope
        self._credential = entra_credential()

    def token(self) -> str:
        """Return a token; azure-identity keeps it and renews it in time.

        Raises
        ------
        AzureSignedOut
            Nobody is signed in, or Entra refuses.
        """
        from azure.core.exceptions import ClientAuthenticationError

        try:
            return str(self._credential.get_token(self._scope).token)
        except ClientAuthenticationError as error:
            raise AzureSignedOut(
                "no identity was found for the Azure ML workspace: sign in (`az login`), or give "
                "this machine a managed identity"
            ) from error


def entra_credential() -> Any:
    """Return azure-identity's chain, without a browser.

    Raises
    ------
    AzureUnset
        The extra `azure` is not installed.
    """
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise AzureUnset(
            "azure-identity is missing and this is no job of Azure ML: pip install 'mammo[azure]'"
        ) from error
    return DefaultAzureCredential(exclude_interactive_browser_credential=True)


@cache
def tokens_of(workspace: Workspace) -> Tokens:
    """Return a workspace's tokens; one source for the whole process, which renews them."""
    job = find_job()
    return JobTokens(workspace, job) if job and job.token else EntraTokens(workspace)


def expiry(token: str) -> float | None:
    """Return when a token ends, in seconds since 1970; None where it does not say.

    Nothing is verified: that is for whom it is shown to.
    """
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None
