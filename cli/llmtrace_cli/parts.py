"""Each part alone, in this process: for containers, for process managers and for `llmtrace up`."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from llmtrace_cli.context import read_settings
from llmtrace_cli.extras import Extra, needs, present
from llmtrace_cli.guard import SUPERVISOR_PID, follow_supervisor, wait_for_source
from llmtrace_cli.quarantine import quarantine

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def host_option(note: str = "") -> Decorator:
    """`--host` as every server has it."""
    return click.option("--host", help=f"Address to listen on.  [default: 127.0.0.1]{note}")


def port_option(default: int) -> Decorator:
    """`--port` as every server has it."""
    return click.option("--port", type=click.IntRange(1, 65535), help=f"Port.  [default: {default}]")


data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Where data is kept.  [default: .llmtrace]"
)


_Table = TypeVar("_Table")


def _run(
    extra: Extra,
    serve: Callable[[_Table], None],
    settings: _Table,
    refusals: tuple[type[Exception], ...] = (),
) -> None:
    """Run a part's entry function until it is told to stop.

    `refusals` are what it raises when it cannot start with these settings; their text is the message.
    """
    # `llmtrace up` puts the time before each line itself.
    when = "" if SUPERVISOR_PID in os.environ else "%(asctime)s "
    logging.basicConfig(level=logging.INFO, format=f"{when}%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpx2", "httpcore", "httpcore2"):  # a line per request, to ourselves
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # These say in several lines what watch says in one.
    for repeating in ("urllib3.connectionpool", "clickhouse_connect"):
        logging.getLogger(repeating).setLevel(logging.ERROR)
    follow_supervisor()
    wait_for_source()
    try:
        with needs(extra):  # parts import the heaviest of their packages when they come to use them
            serve(settings)
    except refusals as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:  # Ctrl-C is how a part in the foreground is stopped
        return


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  llmtrace collector
  llmtrace collector --port 4319 --data-dir /var/lib/llmtrace
  LLMTRACE_COLLECTOR__STORE=clickhouse://user:password@db:8123/llmtrace llmtrace collector
""",
)
@host_option("; another than loopback needs keys")
@port_option(4318)
@data_dir_option
@click.pass_context
def collector(context: click.Context, host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Receive spans by OTLP, store them, serve them read-only at /clickhouse."""
    if context.invoked_subcommand is not None:
        return
    given = {"collector": {"host": host, "port": port, "data_dir": data_dir}}
    settings = read_settings(context, "collector", given)
    with needs("collector"):
        from llmtrace_collector.app import serve
        from llmtrace_collector.store.engine import StoreUnavailable
    _run("collector", serve, settings.collector, (ValueError, StoreUnavailable))


collector.add_command(quarantine)


@click.command(
    epilog="""\b
Examples:
  llmtrace watch
  llmtrace --config prod.toml watch
"""
)
@click.pass_context
def watch(context: click.Context) -> None:
    """Look for anomalies and abuse every few seconds; open incidents and send webhooks."""
    settings = read_settings(context, "dashboard")
    with needs("dashboard"):
        from llmtrace_dashboard.watch import run
    _run("dashboard", run, settings.watch)


@click.command(
    epilog="""\b
Examples:
  llmtrace dashboard
  llmtrace dashboard --port 8502
"""
)
@host_option()
@port_option(8501)
@click.pass_context
def dashboard(context: click.Context, host: str | None, port: int | None) -> None:
    """Serve the dashboard over a running collector."""
    settings = read_settings(context, "dashboard", {"dashboard": {"host": host, "port": port}})
    with needs("dashboard"):
        from llmtrace_dashboard.app import serve
    _run("dashboard", serve, settings.dashboard)


@click.command(
    epilog="""\b
Examples:
  llmtrace inference
  llmtrace inference --port 8001
"""
)
@host_option("; another than loopback needs keys")
@port_option(8000)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where built-in models are kept.")
@click.pass_context
def inference(context: click.Context, host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Serve local models by the OpenAI chat completions API, with a span for every phase of a request."""
    given = {"inference": {"host": host, "port": port, "data_dir": data_dir}}
    settings = read_settings(context, "inference", given)
    with needs("inference"):
        present("torch")
        from llmtrace_inference.app import serve
    _run("inference", serve, settings.inference, (ValueError, RuntimeError))


@click.command(
    epilog="""\b
Examples:
  llmtrace mlflow
  llmtrace mlflow --port 5001 --data-dir /var/lib/llmtrace
"""
)
@host_option("; another than loopback needs allowed_hosts")
@port_option(5000)
@data_dir_option
@click.pass_context
def mlflow(context: click.Context, host: str | None, port: int | None, data_dir: Path | None) -> None:
    """Run an MLflow tracking server for experiment runs: SQLite, one worker, nothing sent out."""
    given = {"mlflow": {"host": host, "port": port, "data_dir": data_dir}}
    settings = read_settings(context, "all", given)
    with needs("all"):
        present("mlflow.server")
        from llmtrace_cli.mlflow_server import serve
    _run("all", serve, settings.mlflow)
