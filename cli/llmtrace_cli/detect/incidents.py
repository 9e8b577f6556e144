"""`llmtrace incidents`: what watch opened, and whether it was worth opening."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import click

from llmtrace_cli.admin.client import own_collector
from llmtrace_cli.extras import needs
from llmtrace_cli.query.output import write
from llmtrace_cli.query.store_reader import collector_option, store_reader
from llmtrace_cli.terminal import say

if TYPE_CHECKING:
    import pandas as pd

    from llmtrace_collector.store.incident import Incident, Label

_STATES = {"unresolved": ("open", "acknowledged"), "resolved": ("resolved",), "all": ()}

format_option = click.option(
    "--format",
    "fmt",
    type=click.Choice(("table", "csv", "json")),
    default="table",
    show_default=True,
    help="Form of the answer.",
)


@click.group(
    epilog="""\b
Examples:
  llmtrace incidents list
  llmtrace incidents show 785a002b-65b9-56d0-9158-44a4b17f6747
  llmtrace incidents label 785a002b-65b9-56d0-9158-44a4b17f6747 noise --note "the nightly batch"
"""
)
def incidents() -> None:
    """Incidents: list them, look at one, say whether it was worth opening."""


@incidents.command(
    "list",
    epilog="""\b
Examples:
  llmtrace incidents list
  llmtrace incidents list --state all --project shop --format json
  llmtrace incidents list --useful           how many of each rule's incidents were useful
""",
)
@click.option(
    "--state", type=click.Choice(tuple(_STATES)), default="unresolved", show_default=True, help="Which."
)
@click.option("--project", default="", help="Of one project.  [default: all]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most.")
@click.option("--useful", is_flag=True, help="By rule: how many were labelled useful, and noise.")
@format_option
@collector_option
@click.pass_context
def list_incidents(
    context: click.Context, /, state: str, project: str, limit: int, useful: bool, fmt: str, url: str | None
) -> None:
    """List incidents: unresolved and critical ones first, then the newest."""
    with needs("analysis"):
        from llmtrace_analysis.queries import incidents as queries
    with store_reader(context, url) as client:
        if useful:
            write(_usefulness(queries.label_counts(client, project)), fmt, None, "no incidents")
            return
        rows = queries.incident_list(client, project, _STATES[state], limit)
    write(_frame(rows, fmt), fmt, None, "no incidents")


def _frame(rows: list[Incident], fmt: str) -> pd.DataFrame:
    import pandas as pd

    def moment(time: float) -> str:
        at = datetime.fromtimestamp(time, UTC)
        return f"{at:%Y-%m-%d %H:%M:%S}" if fmt == "table" else at.isoformat()

    listed = [
        {
            "id": item.incident_id,
            "opened": moment(item.opened_at),
            "state": item.state,
            "severity": item.severity,
            "rule": item.rule,
            "project": item.project,
            "minutes": round((item.ended_at - item.opened_at) / 60, 1),
            "label": item.label,
            "title": item.title,
        }
        for item in rows
    ]
    columns = ["id", "opened", "state", "severity", "rule", "project", "minutes", "label", "title"]
    return pd.DataFrame(listed, columns=columns)


def _usefulness(counts: dict[tuple[str, Label], int]) -> pd.DataFrame:
    import pandas as pd

    from llmtrace_analysis.detect.labels import usefulness

    rows = [
        {
            "rule": item.rule,
            "useful": item.useful,
            "noise": item.noise,
            "unlabelled": item.unlabelled,
            "useful_share": item.share,
        }
        for item in usefulness(counts)
    ]
    return pd.DataFrame(rows, columns=["rule", "useful", "noise", "unlabelled", "useful_share"])


@incidents.command(
    epilog="""\b
Examples:
  llmtrace incidents show 785a002b-65b9-56d0-9158-44a4b17f6747
"""
)
@click.argument("incident_id")
@collector_option
@click.pass_context
def show(context: click.Context, /, incident_id: str, url: str | None) -> None:
    """Show one incident: what it says, its label, what labels ask of its series, its history."""
    with needs("analysis"):
        from llmtrace_analysis.detect import label_margins
        from llmtrace_analysis.queries import incidents as queries
    with store_reader(context, url) as client:
        incident = queries.incident(client, incident_id)
        if incident is None:
            raise click.ClickException(f"there is no incident {incident_id}")
        history = queries.history(client, incident_id)
        margin = label_margins.margin_now(client, incident.fingerprint)
    for line in _facts(incident):
        say(line)
    if words := margin.in_words():
        say(f"  {words}")
    for entry in reversed(history):
        note = f": {entry.note}" if entry.note else ""
        say(f"  {_utc(entry.at)}  {entry.action} by {entry.actor or 'nobody'}{note}")


def _facts(incident: Incident) -> list[str]:
    where = ", ".join(f"{name} {value}" for name, value in sorted(incident.dimensions.items()))
    lines = [
        incident.title,
        f"  {incident.severity}, {incident.state}, {incident.rule} of {incident.project or 'every project'}"
        + (f" ({where})" if where else ""),
        f"  opened {_utc(incident.opened_at)}, last seen {_utc(incident.last_seen_at)}",
        f"  {incident.summary}",
    ]
    if incident.label and incident.labelled_at is not None:
        lines.append(f"  labelled {incident.label} by {incident.labelled_by} on {_utc(incident.labelled_at)}")
    return lines


def _utc(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}"


@incidents.command(
    epilog="""\b
Examples:
  llmtrace incidents label 785a002b-65b9-56d0-9158-44a4b17f6747 useful
  llmtrace incidents label 785a002b-65b9-56d0-9158-44a4b17f6747 noise --note "the nightly batch"
  llmtrace incidents label 785a002b-65b9-56d0-9158-44a4b17f6747 none       take back what was said
"""
)
@click.argument("incident_id")
@click.argument("label", type=click.Choice(("useful", "noise", "none")))
@click.option("--note", default="", help="Why, for whoever reads its history.")
@click.pass_context
def label(context: click.Context, /, incident_id: str, label: str, note: str) -> None:
    """Say whether an incident was worth opening. Noise asks for more evidence next time, of the same rule and
    series; useful takes that back. docs/watch.md says how much.
    """
    wanted: Any = "" if label == "none" else label
    with own_collector(context) as collector:
        collector.label(incident_id, cast("Label", wanted), getpass.getuser(), note)
    say(f"{incident_id} has no label any more" if label == "none" else f"{incident_id} is {label}")
