"""The command `llmtrace`. Only click is imported here, so that help is quick in every installation."""

from pathlib import Path

import click

from .admin.keys import keys
from .admin.store import store
from .alerts.commands import alerts
from .backup.commands import backup, restore
from .config.commands import config
from .cost.commands import cost
from .demo.commands import demo
from .detect.backtest import backtest
from .detect.commands import detect
from .detect.incidents import incidents
from .doctor.commands import doctor
from .query.traces import traces
from .serve.commands import collector, dashboard, inference, mlflow, watch
from .stack.up import up
from .terminal import Commands
from .testing.commands import test


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  llmtrace up                     everything on this machine, with four URLs
  llmtrace demo --once            drive real calls through everything, print what was stored, stop
  llmtrace doctor                 what is wrong, and how to mend it
  llmtrace traces 'status:failed' which traces failed, and any other search
  llmtrace incidents list         what is wrong now
  llmtrace detect score FILE.csv  which values of a series of your own are unusual
  llmtrace alerts test ops        send a test message to one of your channels
  llmtrace test from-trace ID     a pytest file that plays a trace's answers to your program again
  llmtrace cost report --by model what calls cost
  llmtrace config init            write a commented llmtrace.toml
  llmtrace --config prod.toml collector --port 4319
""",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Settings file.  [default: ./llmtrace.toml where it exists]",
)
@click.version_option(package_name="llmtrace", prog_name="llmtrace")
def cli(config_file: Path | None) -> None:
    """Observability for LLM applications: traces, cost, anomalies, abuse and MLflow runs.

    Settings come from the command line, then the environment (LLMTRACE_COLLECTOR__PORT=4319), then
    llmtrace.toml, then the defaults.
    """


for command in (up, demo, doctor, collector, watch, dashboard, inference, mlflow, traces, incidents,
    detect, alerts, test, cost, config, keys, store, backup, restore):  # fmt: skip
    cli.add_command(command)
watch.add_command(backtest)


def main() -> None:
    """Run the command line."""
    cli(prog_name="llmtrace")
