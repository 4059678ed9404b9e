"""Where a workspace is: its addresses by ``azureml://``, and the job that this process is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from mammo.errors import AzureUnset

SCHEME = "azureml"
API = "/mlflow/v2.0"
"""MLflow 3 speaks the same API to a workspace, which has no other."""
STUDIO = "https://ml.azure.com"
SCOPE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/[^/?]+",
    re.IGNORECASE,
)
MANAGERS = {
    ".azureml.ms": "https://management.azure.com",
    ".ml.azure.cn": "https://management.chinacloudapi.cn",
    ".ml.azure.us": "https://management.usgovcloudapi.net",
}
"""Ends of a workspace's host -> Resource Manager of its cloud, whose audience tokens have."""


@dataclass(frozen=True)
class Workspace:
    """A workspace; ``path`` is ``/subscriptions/…/workspaces/NAME``, ``host`` may have a port."""

    host: str
    path: str

    @classmethod
    def from_uri(cls, uri: str) -> Workspace:
        """Read a tracking or an artifact address.

        Raises
        ------
        AzureUnset
            It names no host and workspace.
        """
        parts, found = urlsplit(uri), SCOPE.search(uri)
        if parts.scheme != SCHEME or not parts.netloc or found is None:
            raise AzureUnset(
                "the address of an Azure ML workspace for MLflow is "
                "azureml://REGION.api.azureml.ms/mlflow/v2.0/subscriptions/ID/resourceGroups/NAME/"
                "providers/Microsoft.MachineLearningServices/workspaces/NAME: take it from "
                "`az ml workspace show --query mlflow_tracking_uri`"
            )
        return cls(parts.netloc, found[0])

    @property
    def mlflow_url(self) -> str:
        """Base of MLflow's REST API."""
        return f"https://{self.host}{API}{self.path}"

    @property
    def history_url(self) -> str:
        """Base of the run history, which has a run's files and a job's token."""
        return f"https://{self.host}/history/v1.0{self.path}"

    @property
    def token_scope(self) -> str:
        """Scope that Entra is asked for a token of."""
        host = self.host.partition(":")[0]
        manager = next((one for end, one in MANAGERS.items() if host.endswith(end)), None)
        return f"{manager or MANAGERS['.azureml.ms']}/.default"

    def run_page(self, run_id: str) -> str:
        """Return the address of a run's page."""
        return f"{STUDIO}/runs/{quote(run_id)}?wsid={self.path}"


@dataclass(frozen=True)
class Job:
    """The job of Azure ML that this process is part of; ``token`` is what it began with."""

    run_id: str
    token: str
    experiment_id: str = ""
    experiment: str = ""

    @property
    def renewal(self) -> str | None:
        """Path below `Workspace.history_url` that gives a new token; None where it is not known."""
        run = f"runs/{quote(self.run_id, safe='')}/token"
        if self.experiment_id:
            return f"/experimentids/{quote(self.experiment_id, safe='')}/{run}"
        return f"/experiments/{quote(self.experiment, safe='')}/{run}" if self.experiment else None


def find_job() -> Job | None:
    """Return the job that Azure ML describes in the environment; None outside of one."""
    run_id = _first("MLFLOW_RUN_ID", "AZUREML_RUN_ID")
    if not run_id:
        return None
    return Job(
        run_id,
        _first("MLFLOW_TRACKING_TOKEN", "AZUREML_RUN_TOKEN"),
        _first("MLFLOW_EXPERIMENT_ID"),
        _first("MLFLOW_EXPERIMENT_NAME", "AZUREML_ARM_PROJECT_NAME"),
    )


def _first(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
