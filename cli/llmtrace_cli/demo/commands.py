"""`llmtrace demo`: everything started, real calls driven through it, what arrived shown."""

import sys
from pathlib import Path

import click

from llmtrace_cli.extras import MODULES_OF_ALL, needs, require_module


@click.command(
    epilog="""\b
Examples:
  llmtrace demo
  llmtrace demo --once
  llmtrace demo --once --crash --report report.json
  llmtrace demo --calls 600 --data-dir ./demo --keep
"""
)
@click.option("--once", is_flag=True, help="Drive the calls, check and print what was stored, and stop.")
@click.option("--keep", is_flag=True, help="Leave the demo's data in place afterwards.")
@click.option("--calls", type=click.IntRange(min=1), default=320, show_default=True, help="Calls to drive.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path(".llmtrace/demo"),
    show_default=True,
    help="Where the demo keeps its data.",
)
@click.option(
    "--crash", is_flag=True, help="Kill the collector (SIGKILL) amid the traffic and start it again."
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write the report there, as JSON."
)
def demo(once: bool, keep: bool, calls: int, data_dir: Path, crash: bool, report: Path | None) -> None:
    """Start everything, drive real calls through it and show what arrived where.

    Without --once it stays up with light traffic until Ctrl-C.
    """
    with needs("all"):
        for module in MODULES_OF_ALL:
            require_module(module)
        from .run import run
    sys.exit(run(once=once, keep=keep, calls=calls, data_dir=data_dir, crash=crash, report_file=report))
