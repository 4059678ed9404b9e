"""Requests to a workspace by MLflow's own client, with Azure's refusals as ours.

A message has the status and Azure's own code of it, never the answer's body.
"""

from __future__ import annotations

from typing import Any

from mammo.errors import (
    AzureError,
    AzureForbidden,
    AzureNotFound,
    AzureSignedOut,
    AzureThrottled,
    AzureUnreachable,
)

ADVICE: dict[int, tuple[type[AzureError], str]] = {
    401: (AzureSignedOut, "the token is not accepted: sign in (`az login`), or give the job one"),
    403: (AzureForbidden, "this identity may not: the role AzureML Data Scientist lets it"),
    404: (AzureNotFound, "look at the workspace's address"),
    429: (AzureThrottled, "the workspace asks to come again later"),
}


def ask(url: str, token: str, path: str, method: str, **request: Any) -> Any:
    """Send a request, again where that may help, and return the answer (`requests.Response`).

    Raises
    ------
    AzureUnreachable
        No answer came, after as many tries as MLFLOW_HTTP_REQUEST_MAX_RETRIES says.
    AzureSignedOut, AzureForbidden, AzureThrottled, AzureError
        The workspace refused; a 4xx with an error of MLflow's own form is returned.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import MlflowHostCreds, http_request

    try:
        answer = http_request(
            MlflowHostCreds(url, token=token), path, method, raise_on_status=False, **request
        )
    except MlflowException:  # its text has the whole address, and names no way out
        raise AzureUnreachable(
            "the Azure ML workspace does not answer: look at the network, the private endpoint "
            "and the certificates (REQUESTS_CA_BUNDLE)"
        ) from None
    refused = _refusal(answer)
    if refused is not None:
        raise refused
    return answer


def _refusal(answer: Any) -> AzureError | None:
    status = int(answer.status_code)
    if status < 400:
        return None
    body = _body(answer)
    if status not in (401, 403, 429) and status < 500 and "error_code" in body:
        return None  # MLflow's own: the client knows what to make of it
    kind, advice = ADVICE.get(status, (AzureError, "see the workspace's activity log"))
    inner = body.get("error")
    code = inner.get("code") if isinstance(inner, dict) else body.get("error_code")
    return kind(f"the Azure ML workspace answered {status} {code or 'refused'}; {advice}")


def _body(answer: Any) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
