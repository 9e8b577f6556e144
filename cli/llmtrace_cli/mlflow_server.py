"""`llmtrace mlflow`: the MLflow tracking server, set up for one machine."""

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class MlflowSettings(BaseModel):
    """The table [mlflow]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. MLflow has no keys of its own: set allowed_hosts to bind another "
        "than loopback, and keep the port behind a proxy that checks who calls.",
    )
    port: int = Field(default=5000, ge=1, le=65535, description="Port of the MLflow server.")
    data_dir: Path = Field(
        default=Path(".llmtrace"),
        description="Directory under which `mlflow/` holds the database and the artifacts.",
    )
    backend_store_uri: str | None = Field(
        default=None,
        description="SQLAlchemy URI of MLflow's database; when unset, SQLite in {data_dir}/mlflow.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Host headers that MLflow answers to besides loopback and private addresses, "
        'for instance "mlflow:5000" in docker-compose.',
    )

    @model_validator(mode="after")
    def _refuse_open_door(self) -> Self:
        if self.host not in LOOPBACK and not self.allowed_hosts:
            raise ValueError(
                f"MLflow would listen on {self.host} for anyone who reaches it: name the hosts that it may "
                "answer to in [mlflow] allowed_hosts, or keep host = '127.0.0.1'"
            )
        return self

    @property
    def directory(self) -> Path:
        """Where MLflow's own files live."""
        return self.data_dir / "mlflow"

    @property
    def backend(self) -> str:
        """The database URI in effect."""
        return self.backend_store_uri or f"sqlite:///{self.directory.resolve() / 'mlflow.db'}"


def arguments(settings: MlflowSettings) -> list[str]:
    """The arguments of `mlflow server`. The database URI may hold a password, so it goes by environment."""
    command = [
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
    ]
    if settings.allowed_hosts:
        # MLflow replaces its defaults by this list, so loopback has to be in it for health checks.
        hosts = [*settings.allowed_hosts, "localhost", "localhost:*", "127.0.0.1", "127.0.0.1:*"]
        command += ["--allowed-hosts", ",".join(hosts)]
    return command


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
