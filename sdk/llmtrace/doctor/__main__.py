"""The command `python -m llmtrace.doctor`."""

from __future__ import annotations

import sys

import click

from .here import run_all
from .report import print_results


@click.command(
    epilog="""\b
Examples:
  python -m llmtrace.doctor
  python -m llmtrace.doctor --json
  LLMTRACE_API_KEY=… python -m llmtrace.doctor --endpoint https://collector.internal:4318
  docker exec app python -m llmtrace.doctor
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option("--endpoint", help="The collector's base URL.  [default: as programs here would find it]")
def doctor(as_json: bool, endpoint: str | None) -> None:
    """Check that programs of this Python environment are traced, and that their spans arrive.

    Versions, the hook on each HTTP library (by a request to this machine itself), the settings that the
    environment makes, spool, endpoint, key, certificate and clock; at last a test span is sent, and its
    address shown. What a program passes to llmtrace.init is not known here: set it in the environment for
    this command.

    Exits 1 when a check fails.
    """
    sys.exit(print_results(run_all(endpoint), as_json=as_json))


if __name__ == "__main__":
    doctor(prog_name="python -m llmtrace.doctor")
