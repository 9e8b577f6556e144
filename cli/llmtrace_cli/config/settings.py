"""Everything `llmtrace` can be told, as one frozen object: the tables of all parts, and where they are."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llmtrace_analysis.settings import CollectorConnection, WatchSettings
from llmtrace_collector.settings import CollectorSettings
from llmtrace_dashboard.settings import DashboardSettings
from llmtrace_inference.settings import InferenceSettings

from .backup_settings import BackupSettings
from .mlflow_settings import MlflowSettings

ENV_PREFIX = "LLMTRACE_"
ENV_DELIMITER = "__"

PartName = Literal["collector", "mlflow", "watch", "dashboard", "inference", "backup"]
_Table = TypeVar("_Table", bound=BaseModel)


class Settings(BaseSettings):
    """Everything `llmtrace` can be told."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER
    )

    data_dir: Path = Field(
        default=Path(".llmtrace"),
        description="Where all parts keep their data: the store, the log, MLflow's files, the admin key. "
        "A part's own data_dir, when set, wins. Relative paths start where llmtrace is run.",
    )
    collector: CollectorSettings = Field(default_factory=CollectorSettings)
    watch: WatchSettings = Field(default_factory=WatchSettings)
    dashboard: DashboardSettings = Field(default_factory=DashboardSettings)
    inference: InferenceSettings = Field(default_factory=InferenceSettings)
    mlflow: MlflowSettings = Field(default_factory=MlflowSettings)
    backup: BackupSettings = Field(default_factory=BackupSettings)

    @model_validator(mode="before")
    @classmethod
    def _share_data_dir(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Put every part's data under the common directory, unless the part has one of its own."""
        default: Path = cls.model_fields["data_dir"].default
        shared = values.get("data_dir", default)
        if not isinstance(shared, (str, Path)):
            return values
        filled = dict(values)
        for name, model in tables().items():
            table, own = filled.get(name, {}), model.model_fields.get("data_dir")
            if own is not None and isinstance(table, Mapping):
                filled[name] = {"data_dir": Path(shared) / own.default.relative_to(default), **table}
        return filled

    def url_of(self, part: PartName) -> str:
        """Where a client on this machine reaches a part; empty for one that listens on nothing.

        One that listens everywhere is reached over loopback.
        """
        host, port = self.listens(part)
        if port is None:
            return ""
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
        scheme = "https" if part == "collector" and self.collector.tls_certificate is not None else "http"
        return f"{scheme}://[{reachable}]:{port}" if ":" in reachable else f"{scheme}://{reachable}:{port}"

    def listens(self, part: PartName) -> tuple[str, int | None]:
        """Host and port of a part; watch has a port for its health only where it is given one, and backups
        have none.
        """
        if part == "backup":
            return "", None
        if part == "watch":
            return self.watch.health_host, self.watch.health_port or None
        table = getattr(self, part)
        return table.host, table.port

    def connection(self) -> CollectorConnection:
        """How a client on this machine reaches and manages the collector of these settings."""
        collector = self.collector
        return CollectorConnection(
            collector_url=self.url_of("collector"),
            read_key=collector.read_key,
            admin_key=collector.admin_key,
            data_dir=collector.data_dir,
            certificate=collector.tls_certificate,
            client_certificate=self.dashboard.client_certificate,
            client_key=self.dashboard.client_key,
        )

    def with_roles_of(self, file: Path) -> "Settings":
        """Where people have roles: these settings, the roles read from `file` while the dashboard runs."""
        if not self.dashboard.asks_who or "roles_file" in self.dashboard.model_fields_set:
            return self
        return _with(self, {"dashboard": _with(self.dashboard, {"roles_file": file.resolve()})})

    def linked(self, together: Collection[PartName] = ()) -> "Settings":
        """These settings with the parts pointed at each other, where they leave that open.

        `together`: the parts that one command runs; where it runs some, nobody is sent to an MLflow that is
        not among them. What was set stays as it is, and `model_fields_set` of each table says what that is.
        """
        collector, dashboard = self.url_of("collector"), self.url_of("dashboard")
        mlflow = self.url_of("mlflow") if "mlflow" in together or not together else ""
        reader = {
            "collector_url": collector,
            "read_key": self.collector.read_key,
            "admin_key": self.collector.admin_key,
            "certificate": self.collector.tls_certificate,
        }
        links: dict[str, dict[str, Any]] = {
            "collector": {
                # Runs are logged where somebody asked for that: by a command that runs MLflow, or by name.
                "mlflow_url": mlflow if together else "",
                "trace_url": dashboard + "/traces?trace={trace_id}",
                "exchange_rates": self.dashboard.exchange_rates,
            },
            "watch": {**reader, "dashboard_url": dashboard},
            "dashboard": {
                **reader,
                "dashboard_key": self.collector.dashboard_key,
                "mlflow_url": mlflow,
            },
            "inference": {
                "otlp_endpoint": collector,
                "otlp_api_key": self.collector.service_key or self.collector.ingest_key,
                "certificate": self.collector.tls_certificate,
            },
        }
        changed = {name: _filled(getattr(self, name), values) for name, values in links.items()}
        for name in ("watch", "dashboard"):  # where the collector puts its admin key they look for it
            if getattr(self, name).data_dir == self.data_dir:
                changed[name] = _with(changed[name], {"data_dir": self.collector.data_dir})
        return _with(self, changed)


def tables() -> dict[str, type[BaseModel]]:
    """The tables of llmtrace.toml and the model of each, in the file's order."""
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _filled(table: _Table, values: Mapping[str, Any]) -> _Table:
    """The table with values for what it leaves open, which still counts as left open."""
    return _with(table, {name: value for name, value in values.items() if name not in table.model_fields_set})


def _with(table: _Table, values: Mapping[str, Any]) -> _Table:
    """The table with other values; unlike `model_copy` it does not count them as set by someone."""
    fields = {name: getattr(table, name) for name in type(table).model_fields}
    return type(table).model_construct(table.model_fields_set, **{**fields, **values})
