"""MLflow's tracking store in an Azure ML workspace."""

from __future__ import annotations

import json
from typing import Any

from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.rest_utils import MlflowHostCreds, verify_rest_response

from mammo.azure_mlflow.asking import ask
from mammo.azure_mlflow.tokens import tokens_of
from mammo.azure_mlflow.workspace import Workspace, find_job


class WorkspaceStore(RestStore):
    """MLflow's REST client at a workspace's path; each request shows a token that is good now.

    The run of the job that this process is belongs to Azure ML, which ends it.
    """

    def __init__(self, store_uri: str) -> None:
        self._workspace = Workspace.from_uri(store_uri)
        super().__init__(self._credentials)  # type: ignore[no-untyped-call]

    def _credentials(self) -> MlflowHostCreds:
        token = tokens_of(self._workspace).token()
        return MlflowHostCreds(self._workspace.mlflow_url, token=token)

    def _call_endpoint(
        self,
        api: Any,
        json_body: str | None = None,
        endpoint: str | None = None,
        retry_timeout_seconds: float | None = None,
        response_proto: Any = None,
    ) -> Any:
        """Ask as MLflow does; raises an `AzureError` where the workspace refuses."""
        path, method = self._METHOD_TO_INFO[api]
        body = {} if json_body is None else json.loads(json_body)
        given = {"params": body} if method == "GET" else {"json": body}
        token = tokens_of(self._workspace).token()
        answer = ask(self._workspace.mlflow_url, token, endpoint or path, method, **given)
        verify_rest_response(answer, endpoint or path)
        result = api.Response() if response_proto is None else response_proto
        parse_dict(answer.json(), result)
        return result

    def update_run_info(
        self, run_id: str, run_status: Any, end_time: int | None, run_name: str | None
    ) -> Any:
        """Update a run's state; that of the job's own run is left to Azure ML."""
        job = find_job()
        if job is not None and job.run_id == run_id:
            return self.get_run(run_id).info  # type: ignore[no-untyped-call]
        return super().update_run_info(run_id, run_status, end_time, run_name)  # type: ignore[no-untyped-call]
