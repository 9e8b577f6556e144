"""`llmtrace up`: all parts on this machine."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmtrace_cli.config.read_settings import config_file, read_settings
from llmtrace_cli.extras import MODULES_OF_ALL, needs, require_module
from llmtrace_cli.local_servers import is_free, port_holder
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    from llmtrace_cli.config.settings import PartName, Settings

    from .processes import Stack

#: Environment variable with the settings file that backups should save, for the parts have one of their own;
#: empty where there is none.
SETTINGS_FILE = "LLMTRACE_SETTINGS_FILE"

_GRPC_PORT = 4317

_DESCRIPTION = {
    "collector": "send spans here (OTLP/HTTP), read them at /clickhouse",
    "dashboard": "traces, cost, incidents",
    "mlflow": "experiment runs",
    "inference": "local models (OpenAI API under /v1)",
}


@click.command(
    epilog="""\b
Examples:
  llmtrace up
  llmtrace up --with-inference
  llmtrace up --no-mlflow --port 4319 --data-dir /var/lib/llmtrace
  llmtrace --config prod.toml up
"""
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data is kept.  [default: .llmtrace]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the collector.  [default: 4318]")
@click.option("--dashboard-port", type=click.IntRange(1, 65535), help="[default: 8501]")
@click.option("--mlflow-port", type=click.IntRange(1, 65535), help="[default: 5000]")
@click.option("--inference-port", type=click.IntRange(1, 65535), help="[default: 8000]")
@click.option("--with-inference", is_flag=True, help="Also serve local models.")
@click.option("--no-mlflow", is_flag=True, help="Leave MLflow out.")
@click.option("--no-dashboard", is_flag=True, help="Leave the dashboard out.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=120.0, show_default=True, help="Seconds to start."
)
@click.pass_context
def up(
    context: click.Context,
    data_dir: Path | None,
    port: int | None,
    dashboard_port: int | None,
    mlflow_port: int | None,
    inference_port: int | None,
    with_inference: bool,
    no_mlflow: bool,
    no_dashboard: bool,
    timeout: float,
) -> None:
    """Start collector, watch, MLflow and dashboard; Ctrl-C stops them all.

    When one of them stops by itself the others are stopped too and the exit code is 1.
    """
    parts: dict[PartName, bool] = {
        "collector": True,
        "mlflow": not no_mlflow,
        "watch": True,
        "dashboard": not no_dashboard,
        "inference": with_inference,
    }
    names = [name for name, wanted in parts.items() if wanted]
    settings = read_settings(
        context,
        "all",
        {
            "data_dir": data_dir,
            "collector": {"port": port},
            "dashboard": {"port": dashboard_port},
            "mlflow": {"port": mlflow_port},
            "inference": {"port": inference_port},
        },
        together=names,
    )
    if settings.backup.every:
        names.append("backup")
        own = config_file(context) or Path("llmtrace.toml")
        os.environ[SETTINGS_FILE] = str(own.resolve()) if own.exists() else ""
    with needs("all"):
        for module in MODULES_OF_ALL:
            require_module(module)
        from .processes import plan
        from .supervise import Supervisor

    refuse_busy_ports({name: settings.listens(name) for name in names})
    stack = plan(with_grpc(settings), names)
    try:
        say(f"starting {', '.join(names)} …")
        supervisor = Supervisor(stack, timeout=timeout, when_ready=lambda seconds: _panel(stack, seconds))
        supervisor.loop()
    finally:
        stack.file.unlink(missing_ok=True)
    if supervisor.failure is not None:
        raise click.ClickException(supervisor.failure)
    say("stopped")


def with_grpc(settings: "Settings") -> "Settings":
    """The settings with OTLP/gRPC on its usual port, where nothing was said of it, grpcio is installed and
    nobody has that port."""
    collector = settings.collector
    if "grpc_port" in collector.model_fields_set or importlib.util.find_spec("grpc") is None:
        return settings
    try:
        if not is_free(collector.host, _GRPC_PORT):
            return settings
    except OSError:  # an address that is not ours: said of the HTTP port in a moment
        return settings
    changed = collector.model_copy(update={"grpc_port": _GRPC_PORT})
    return settings.model_copy(update={"collector": changed})


def refuse_busy_ports(addresses: Mapping["PartName", tuple[str, int | None]]) -> None:
    """Stop before anything starts when a port is taken, naming it, its holder and its setting.

    `addresses`: host and port of each part, as `Settings.listens` gives them.
    """
    sentences = []
    for name, (host, port) in addresses.items():
        if port is None:
            continue
        try:
            free = is_free(host, port)
        except OSError as error:
            sentences.append(f"{name} cannot listen on {host} ({error.strerror}): see [{name}] host")
            continue
        if not free:
            by = port_holder(port) or "another process"
            sentences.append(
                f"port {port} for {name} is taken by {by}: stop that process, or choose another by "
                f"[{name}] port in llmtrace.toml or LLMTRACE_{name.upper()}__PORT"
            )
    if sentences:
        raise click.ClickException("\n".join(sentences))


def _panel(stack: "Stack", seconds: float) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for part in stack.parts:
        if part.url and part.name in _DESCRIPTION:
            table.add_row(
                f"[bold]{part.name}[/bold]", Text(part.url), f"[dim]{_DESCRIPTION[part.name]}[/dim]"
            )
    table.add_row(
        "[bold]data[/bold]", Text(str(stack.settings.data_dir)), "[dim]Ctrl-C stops everything[/dim]"
    )
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 110)
    console.print(Panel.fit(table, title=f"llmtrace is up ({seconds:.0f} s)", border_style="green"))
    sys.stdout.flush()
