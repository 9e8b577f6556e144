"""Settings of the MLflow tracking server: the [mlflow] table of llmtrace.toml."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llmtrace.common.loopback import is_loopback


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
        description="Host headers that MLflow answers to besides loopback's, for instance "
        '"mlflow:5000" in docker-compose.',
    )

    @model_validator(mode="after")
    def _require_allowed_hosts(self) -> Self:
        if not is_loopback(self.host) and not self.allowed_hosts:
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
