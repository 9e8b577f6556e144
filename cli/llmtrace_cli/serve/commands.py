"""Each part alone, in this process: for containers, for process managers and for `llmtrace up`."""

import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llmtrace.common.log_lines import log_to_stderr
from llmtrace_cli.admin.quarantine import quarantine
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.durations import seconds_of
from llmtrace_cli.extras import Extra, needs, require_module
from llmtrace_cli.stack.lifeline import SUPERVISOR_PID, follow_supervisor, wait_for_source
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    from llmtrace.common.tls import TlsFiles
    from llmtrace_cli.config.settings import Settings

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
    source: "TlsFiles | None" = None,
) -> None:
    """Run a part's entry function until it is told to stop.

    `refusals` are what it raises when it cannot start with these settings; their text is the message.
    `source`: what to trust and present where this part reads from.
    """
    # `llmtrace up` puts the time before each line itself.
    log_to_stderr(time=SUPERVISOR_PID not in os.environ)
    for chatty in ("httpx", "httpx2", "httpcore", "httpcore2"):  # a line per request, to ourselves
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # These say in several lines what watch says in one.
    for repeating in ("urllib3.connectionpool", "clickhouse_connect"):
        logging.getLogger(repeating).setLevel(logging.ERROR)
    if source is not None:
        try:
            source.context()
        except ValueError as error:  # a file that cannot be used
            raise click.ClickException(str(error)) from error
    follow_supervisor()
    try:
        wait_for_source(source)
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
    overrides = {"collector": {"host": host, "port": port, "data_dir": data_dir}}
    settings = read_settings(context, "collector", overrides)
    with needs("collector"):
        from llmtrace_collector.app import serve
        from llmtrace_collector.store.errors import StoreError
    _run("collector", serve, settings.collector, (ValueError, StoreError, OSError))


collector.add_command(quarantine)


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  llmtrace watch
  llmtrace --config prod.toml watch
  llmtrace watch backtest --since 30d      what it would have opened
""",
)
@click.pass_context
def watch(context: click.Context) -> None:
    """Look for anomalies and abuse every few seconds; open incidents and send webhooks."""
    if context.invoked_subcommand is not None:
        return
    settings = read_settings(context, "analysis")
    with needs("analysis"):
        from llmtrace_analysis.alerts.channels.from_settings import ChannelUnusable
        from llmtrace_analysis.watch.app import serve
    _run("analysis", serve, settings.watch, (ChannelUnusable,), source=settings.watch.tls_files())


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
        from llmtrace_dashboard.server.app import serve
    _run("dashboard", serve, settings.dashboard, source=settings.dashboard.tls_files())


@click.group(
    invoke_without_command=True,
    epilog="""\b
Examples:
  llmtrace inference
  llmtrace inference --port 8001
  llmtrace inference --device cuda --max-kv-gb 20
  llmtrace inference block mallory --for 1h
""",
)
@host_option("; another than loopback needs keys")
@port_option(8000)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where built-in models are kept.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute.  [default: auto]"
)
@click.option(
    "--max-kv-gb",
    type=click.FloatRange(min=0, min_open=True),
    help="Memory of each model's KV cache in GB.  [default: num_blocks of the settings]",
)
@click.pass_context
def inference(context: click.Context, /, **overrides: object) -> None:
    """Serve local models by the OpenAI completions API, with a span for every phase of a request."""
    settings = read_settings(context, "inference", {"inference": overrides})
    if context.invoked_subcommand is not None:
        context.obj = settings
        return
    with needs("inference"):
        require_module("torch")
        from llmtrace_inference.app import serve
    _run("inference", serve, settings.inference, (ValueError, RuntimeError))


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


@inference.command(
    epilog="""\b
Examples:
  llmtrace inference block mallory --for 1h
  llmtrace inference block mallory --for 2d --reason "prompt flooding"
"""
)
@click.argument("user")
@click.option("--for", "seconds", callback=_seconds, required=True, help="How long: 90s, 30m, 1h or 2d.")
@click.option("--reason", default="", help="Told to the user with each refusal.")
@click.pass_obj
def block(settings: "Settings", user: str, seconds: float, reason: str) -> None:
    """Refuse a user's requests for a while, at the running service."""
    admin_key = settings.inference.admin_key
    if admin_key is None:
        raise click.ClickException(
            "the inference service has no admin_key: set it in [inference] or as "
            "LLMTRACE_INFERENCE__ADMIN_KEY, for the service and for this command"
        )
    url = settings.url_of("inference") + "/admin/blocks"
    request = urllib.request.Request(  # noqa: S310 - the service's own address
        url,
        json.dumps({"user": user, "seconds": seconds, "reason": reason}).encode(),
        {"Authorization": f"Bearer {admin_key.get_secret_value()}"},
    )
    try:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=10) as response:
            until = json.load(response)["until"]
    except urllib.error.HTTPError as error:
        raise click.ClickException(f"{url} answered {error.code}: {error.read(2000).decode()}") from error
    except OSError as error:
        raise click.ClickException(f"{url} cannot be reached ({error}): is the service running?") from error
    when = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%d %H:%M:%S")
    say(f"{user} is blocked until {when} UTC")


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
    overrides = {"mlflow": {"host": host, "port": port, "data_dir": data_dir}}
    settings = read_settings(context, "all", overrides)
    with needs("all"):
        require_module("mlflow.server")
        from .mlflow_server import serve
    _run("all", serve, settings.mlflow)
