"""Bearer tokens of a workspace: a job's own, renewed by the run history, or Entra's."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

from mammo.azure_mlflow.asking import ask
from mammo.azure_mlflow.workspace import Job, Workspace, find_job
from mammo.errors import AzureError, AzureSignedOut, AzureUnset

_log = logging.getLogger(__name__)
_making = threading.Lock()
AHEAD_SECONDS = 300.0
"""A job's token is renewed so long before it ends."""
AGAIN_SECONDS = 30.0
"""Between two tries to renew a token that is good still."""
LONGEST_SLEEP_SECONDS = 3600.0
"""A token may say that it never ends, which is longer than a thread can sleep."""


class Tokens(Protocol):
    """Where bearer tokens come from."""

    def token(self) -> str:
        """Return one that is good now."""


class JobTokens:
    """The token that Azure ML gave to a job, kept fresh until the process ends.

    It must be renewed before it ends, and a training takes longer than it lasts: a
    thread does so from the first use on. ``ends_at`` is in seconds since 1970, None
    where neither the token nor who gave it says so.
    """

    def __init__(self, workspace: Workspace, job: Job) -> None:
        self._workspace, self._job = workspace, job
        self._lock = threading.Lock()
        self._token, self.ends_at = job.token, expiry(job.token)
        self._again_at = 0.0  # of the monotonic clock
        if job.renewal is not None and self.ends_at is not None:
            threading.Thread(target=self._keep_fresh, daemon=True, name="azure-token").start()

    def token(self) -> str:
        """Return the token, renewed where it is about to end.

        Raises
        ------
        AzureSignedOut
            It has ended and could not be renewed.
        """
        with self._lock:
            if self._left() < AHEAD_SECONDS and time.monotonic() >= self._again_at:
                self._renew()
                left = self._left()
                # not past the token's end; one that ended when it was made is the clock's matter
                wait = min(AGAIN_SECONDS, left) if left > 0 else AGAIN_SECONDS
                self._again_at = time.monotonic() + wait
            return self._token

    def _left(self) -> float:
        return float("inf") if self.ends_at is None else self.ends_at - time.time()

    def _renew(self) -> None:
        try:
            self._token, self.ends_at = self._fetch()
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
        return _read_renewal(
            ask(self._workspace.history_url, self._token, self._job.renewal, "GET")
        )

    def _keep_fresh(self) -> None:
        while True:
            ahead = max(AGAIN_SECONDS, self._left() - AHEAD_SECONDS)
            time.sleep(min(ahead, LONGEST_SLEEP_SECONDS))
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
            "azure-identity is missing and this is no job of Azure ML: "
            "pip install -e '.[azure]' in the checkout"
        ) from error
    return DefaultAzureCredential(exclude_interactive_browser_credential=True)


def tokens_of(workspace: Workspace) -> Tokens:
    """Return a workspace's tokens; one source for the whole process, which renews them."""
    with _making:  # a cache alone lets each of several threads make one
        return _make_tokens(workspace)


@cache
def _make_tokens(workspace: Workspace) -> Tokens:
    job = find_job()
    return JobTokens(workspace, job) if job and job.token else EntraTokens(workspace)


def forget_tokens() -> None:
    """Let the next `tokens_of` look at the environment anew."""
    with _making:
        _make_tokens.cache_clear()


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


def _read_renewal(answer: Any) -> tuple[str, float | None]:
    """Return token and end of the run history's answer; AzureError where it has no token."""
    try:
        found = answer.json()
    except ValueError:
        found = None
    token = found.get("token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token:
        raise AzureError("the run history's answer has no token in it")
    told = _instant(found.get("expiryTimeUtc"))
    # the old token may be refused from now on: a new one is taken whatever is said of its end
    return token, expiry(token) if told is None else told


def _instant(told: object) -> float | None:
    """Return ISO 8601, UTC where it names no offset, in seconds since 1970; None for others."""
    try:
        instant = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    if instant is None:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
