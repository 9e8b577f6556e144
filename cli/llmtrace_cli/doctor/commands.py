"""`llmtrace doctor`: what is wrong on this machine, and how to mend it."""

import sys

import click

from llmtrace_cli.config.read_settings import config_file


@click.command(
    epilog="""\b
Examples:
  llmtrace doctor
  llmtrace doctor --json
  llmtrace doctor --endpoint http://collector.internal:4318
  llmtrace doctor --here            in the application's environment
  python -m llmtrace.doctor         the same, where the command is not installed
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option("--endpoint", help="The collector that applications send to.  [default: as they would find it]")
@click.option(
    "--here",
    is_flag=True,
    help="Check instead what programs of this Python environment need: versions, the hooks on its HTTP "
    "libraries, settings, spool, endpoint and key, and send a test span.",
)
@click.pass_context
def doctor(context: click.Context, as_json: bool, endpoint: str | None, here: bool) -> None:
    """Check versions, settings, ports, disk, store, clock and the way to the collector.

    Exits 1 when a check fails. Checks that need a part that is not installed are skipped.
    """
    # Slow to import, and for this command alone.
    from llmtrace.doctor.report import print_results

    if here:
        from llmtrace.doctor import here as environment

        results = environment.run_all(endpoint)
    else:
        from .checks import run_all

        results = run_all(config_file(context), endpoint)
    sys.exit(print_results(results, as_json=as_json))
