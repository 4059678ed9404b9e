"""MLflow's tracking server in one process, on SQLite or PostgreSQL, serving its artifacts.

`mlflow server` loads all of MLflow twice, in the command and in the server that
it starts, and adds seven job workers that nothing here uses: 8 s and 400 MB
more. The names of the variables come from MLflow, so that a renamed one fails
at import and not silently.
"""

from __future__ import annotations

import os

from mammo.settings import Settings, read_settings


def server_variables(settings: Settings) -> dict[str, str]:
    """Return the variables by which MLflow's server application is configured."""
    from mlflow.server import constants

    folder = settings.home.resolve() / "mlflow"
    database = settings.mlflow_url_of_store
    return {
        constants.BACKEND_STORE_URI_ENV_VAR: database,
        constants.REGISTRY_STORE_URI_ENV_VAR: database,
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: str(folder / "artifacts"),
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
    }


def serve(settings: Settings) -> None:
    """Serve until the process is told to end."""
    import uvicorn

    (settings.home / "mlflow").mkdir(parents=True, exist_ok=True)
    os.environ.update(server_variables(settings))
    uvicorn.run("mlflow.server.fastapi_app:app", host=settings.host, port=settings.mlflow_port)


if __name__ == "__main__":
    serve(read_settings())
