"""`llmtrace mlflow`: the MLflow tracking server, set up for one machine."""

import os
from typing import Final

from llmtrace_cli.config.mlflow_settings import MlflowSettings

_LOOPBACK: Final = ("localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*", "[[]::1]:*")


def arguments(settings: MlflowSettings) -> list[str]:
    """The arguments of `mlflow server`. The database URI may hold a password, so it goes by environment."""
    return [
        "--artifacts-destination",
        str((settings.directory / "artifacts").resolve()),
        "--host",
        settings.host,
        "--port",
        str(settings.port),
        # Four workers, the default, take 2.9 GB; one is enough for runs written by one collector.
        "--workers",
        "1",
        "--uvicorn-opts",
        "--log-level=warning",
        # MLflow's default takes `10.*` for private addresses, and so names like 10.example.com.
        "--allowed-hosts",
        ",".join([*settings.allowed_hosts, *_LOOPBACK]),
        "--x-frame-options",
        "SAMEORIGIN",
        "--app-name",
        "llmtrace",
    ]


def environment(settings: MlflowSettings) -> dict[str, str]:
    """What the MLflow server must find in its environment."""
    return {
        "MLFLOW_BACKEND_STORE_URI": settings.backend,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Without jobs the server is two processes instead of sixteen.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # Empty: otherwise MLflow fetches a price catalogue from the network and stalls without one.
        "MLFLOW_MODEL_CATALOG_URI": "",
        # Deprecations inside MLflow are news to its developers, not to who runs it.
        "PYTHONWARNINGS": "ignore",
    }


def serve(settings: MlflowSettings) -> None:
    """Run the MLflow server until SIGTERM or SIGINT.

    Its command runs in this process, not by exec: MLflow forwards signals to its worker from here, and
    the thread that follows a supervisor stays alive.
    """
    (settings.directory / "artifacts").mkdir(parents=True, exist_ok=True)
    os.environ.update(environment(settings))  # MLflow reads it at import, and hands it to its worker

    from mlflow.cli import cli

    cli.main(["server", *arguments(settings)], prog_name="llmtrace mlflow", standalone_mode=False)
