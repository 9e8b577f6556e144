"""`llmtrace doctor`: what is wrong on this machine, and how to mend it."""

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

import click

from llmtrace_cli.config.read_settings import config_file
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    from .result import Result, Status

_MARK: "dict[Status, tuple[str, str]]" = {
    "ok": ("ok", "green"),
    "warn": ("warn", "yellow"),
    "fail": ("FAIL", "red"),
    "skip": ("skip", "bright_black"),
}


@click.command(
    epilog="""\b
Examples:
  llmtrace doctor
  llmtrace doctor --json
  llmtrace doctor --endpoint http://collector.internal:4318
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option("--endpoint", help="The collector that applications send to.  [default: as they would find it]")
@click.pass_context
def doctor(context: click.Context, as_json: bool, endpoint: str | None) -> None:
    """Check versions, settings, ports, disk, store, clock and the way to the collector.

    Exits 1 when a check fails. Checks that need a part that is not installed are skipped.
    """
    from .checks import run_all  # slow to import, and for this command alone

    results = run_all(config_file(context), endpoint)
    failed = [result for result in results if result.status == "fail"]
    if as_json:
        rows = [dataclasses.asdict(result) for result in results]
        click.echo(json.dumps({"ok": not failed, "checks": rows}, indent=2))
    else:
        for result in results:
            _print(result)
        say("")
        say(f"{len(failed)} of {len(results)} checks failed" if failed else "nothing is wrong")
    sys.exit(1 if failed else 0)


def _print(result: "Result") -> None:
    mark, colour = _MARK[result.status]
    click.secho(mark.ljust(5), fg=colour, nl=False)
    say(f"{result.name.ljust(20)} {result.detail}")
    if result.remedy:
        say(f"{' ' * 26}→ {result.remedy}")
