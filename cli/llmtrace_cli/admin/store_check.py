"""`llmtrace store check` and `llmtrace store ledger`: whether the store holds what was stored in it."""

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

import click

from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.terminal import say

from .client import own_collector

_ROWS = {"traces": "spans", "logs": "log records", "metrics": "data points"}

#: Seconds until the check is asked how far it is, and until that is said again.
_ASK, _SAY = 0.2, 5.0


@click.command(
    epilog="""\b
Examples:
  llmtrace store check
  llmtrace store check --json
  llmtrace backup
  llmtrace store check --repair
"""
)
@click.option(
    "--repair",
    is_flag=True,
    help="Set broken parts aside, bring back what a backup has, make usage, steps and traces of those days "
    "anew, and take the rest off the books as lost. Nothing is deleted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.pass_context
def check(context: click.Context, repair: bool, as_json: bool) -> None:
    """Read every part of the store, compare it with its checksums, and count every day.

    It says which parts are broken and whose rows are missing, by service and minute of arrival; it reads the
    whole store from its disk once, beside everything else. Exits 1 when something is wrong and was not
    repaired, or is lost.
    """
    directory = read_settings(context, "collector").backup.directory
    with own_collector(context) as collector:
        report = collector.check_store(repair=repair, backups=str(directory.absolute()) if directory else "")
        reported = time.monotonic()
        while report["state"] == "running":
            time.sleep(_ASK)
            report = collector.store_check(report["check_id"])
            if time.monotonic() - reported > _SAY:
                reported = time.monotonic()
                say(f"{report['done']} of {report['parts']} parts: {report['step']}", err=True)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)
    if report["state"] != "done":
        raise click.ClickException(f"the check did not end: {report['error']}; run it again")
    wrong = report["broken"] or report["differences"]
    sys.exit(1 if (report["lost"] or report["remarks"] if repair else wrong) else 0)


@click.command(
    epilog="""\b
Examples:
  llmtrace store ledger
  llmtrace store ledger --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def ledger(context: click.Context, as_json: bool) -> None:
    """Say what was received, what of it lies in the log, in the quarantine and in the store.

    Received = quarantined + in the log + stored, and what was stored is there or was taken away on purpose.
    """
    with own_collector(context) as collector:
        answer = collector.ledger()
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for row in answer["signals"]:
        gone = "".join(f", {-rows:,} {reason}" for reason, rows in row["adjusted"].items() if rows < 0)
        say(
            f"{_ROWS[row['signal']]:<12} received {row['received']:,}: quarantined {row['quarantined']:,}, "
            f"in the log {row['in_log']:,}, stored {row['stored']:,}; there now {row['present']:,}{gone}"
        )
    for line in answer["differences"]:
        say(f"WRONG: {line}")
    for signal, rows in answer["unstored"].items():
        say(
            f"WRONG: {rows:,} {_ROWS[signal]} left the log and are neither in the store nor in the quarantine"
        )
    for part in answer["broken_parts"]:
        say(f"WRONG: a part of {part['table']} is broken: {part['folder']}")
    if answer["differences"] or answer["unstored"] or answer["broken_parts"]:
        say("→ llmtrace store check, then llmtrace store check --repair")
        sys.exit(1)


def _print(report: dict[str, Any]) -> None:
    say(f"{report['done']:,} parts read")
    for part in report["broken"]:
        state = "set aside by the engine" if part["set_aside"] else "damaged"
        say(f"broken: {part['table']} {part['part']} ({state}): {' '.join(part['reason'].split())[:160]}")
        say(f"        {part['folder']}")
    for line in report["differences"]:
        say(f"differs: {line}")
    if not report["repair"]:
        _print_rows("missing or not readable", report["missing"])
        if report["broken"] or report["differences"]:
            say("→ llmtrace store check --repair sets aside what is broken and brings back what a backup has")
        else:
            say("every part is whole and every day adds up")
        return
    for item in report["restored"]:
        rows = f"{item['rows']:,} {_ROWS[item['signal']]}"
        say(f"restored: {rows} of {item['day']} from backup {item['backup']}")
    if report["rebuilt"]:
        say(f"made anew: usage, steps and traces of {', '.join(report['rebuilt'])}")
    _print_rows("lost", report["lost"])
    for line in report["remarks"]:
        say(f"lost: {line}")
    if not (report["broken"] or report["differences"]):
        say("there was nothing to repair: every part is whole and every day adds up")
    elif not report["lost"] and not report["remarks"]:
        say("nothing is lost")


def _print_rows(word: str, rows: Iterable[dict[str, Any]]) -> None:
    for item in rows:
        count, name = item["rows"], _ROWS[item["signal"]]
        whose = (
            f"of {item['service']} (project {item['project']})" if item["service"] else "of unknown services"
        )
        when = f"received {item['first']} to {item['last']} UTC" if item["first"] else f"of {item['day']}"
        if count < 0:
            say(f"not counted before: {-count:,} {name} {whose}, {when}")
        else:
            say(f"{word}: {count:,} {name} {whose}, {when}")
