"""`llmtrace store`: how much there is, taking data out, erasing a user."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from llmtrace_cli.admin import Admin

_TIMES = {
    "otel_traces": "Timestamp",
    "otel_logs": "Timestamp",
    "scores": "Timestamp",
    "otel_metrics_gauge": "TimeUnix",
    "otel_metrics_sum": "TimeUnix",
    "otel_metrics_histogram": "TimeUnix",
}
_FORMATS = {"parquet": "Parquet", "jsonl": "JSONEachRow"}

#: Rows of one file at most; a longer time is divided, so that one answer stays within the door's limits.
_FILE_ROWS = 20_000


@click.group(
    epilog="""\b
Examples:
  llmtrace store stats
  llmtrace store export spans/ --table otel_traces --since 2026-11-01 --project shop
  llmtrace store delete --user ann@example.com --dry-run
"""
)
def store() -> None:
    """What a running collector keeps: its size, exports, erasure."""


@store.command(
    epilog="""\b
Examples:
  llmtrace store stats
  llmtrace store stats --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def stats(context: click.Context, as_json: bool) -> None:
    """Rows and bytes of every table."""
    for table in Admin(context).call("GET", "/v1/stats")["tables"]:
        if as_json:
            click.echo(json.dumps(table))
            continue
        ratio = table["bytes_uncompressed"] / max(table["bytes_on_disk"], 1)
        click.echo(
            f"{table['table']:<28} {table['rows']:>12,} rows {table['bytes_on_disk'] / 1e6:>10,.2f} MB  "
            f"{ratio:>5.1f}x smaller  {table['parts']} parts"
        )


@store.command(
    epilog="""\b
Examples:
  llmtrace store delete --user ann@example.com --dry-run
  llmtrace store delete --user ann@example.com --project shop --yes
"""
)
@click.option("--user", required=True, help="The user's id as spans carry it.")
@click.option("--project", default="", help="In one project alone.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def delete(context: click.Context, user: str, project: str, dry_run: bool, yes: bool) -> None:
    """Erase a user: every trace that names them, its scores and log records, and their rollups.

    Traces go as a whole, because spans that do not name the user may hold what they wrote.
    """
    admin = Admin(context)
    body = {"user": user, "project": project}
    counts = admin.call("POST", "/v1/erasures", {**body, "dry_run": True})["counts"]
    for table, rows in counts.items():
        click.echo(f"{table:<28} {rows:>12,} rows")
    if dry_run:
        return
    if not yes:
        click.confirm("Delete them for good?", abort=True)
    erasure = admin.call("POST", "/v1/erasures", body)
    if erasure["quarantined_segments"]:
        click.echo("the quarantine is not searched: see `llmtrace collector quarantine list`", err=True)
    said = 0
    while True:
        erasure = admin.call("GET", f"/v1/erasures/{erasure['erasure_id']}")
        steps, done = erasure["steps"], erasure["done"]
        for number, step in enumerate(steps[said : done + 1], said + 1):
            click.echo(f"{number} of {len(steps)}: {step}", err=True)
            said = number
        if erasure["state"] != "running":
            break
        time.sleep(0.1)
    if erasure["state"] != "done":
        at = (*steps, "cleaning up")[done] if steps else "the search for what to erase"
        raise click.ClickException(f"stopped at {at}; run it again: {erasure['error']}")
    click.echo(f"deleted {sum(erasure['counts'].values()):,} rows")


@store.command(
    epilog="""\b
Examples:
  llmtrace store export spans/
  llmtrace store export spans/ --format jsonl --user u1 --since 2026-11-01 --until 2026-11-08
  llmtrace store export scores/ --table scores --project shop
"""
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--table", type=click.Choice(sorted(_TIMES)), default="otel_traces", show_default=True, help="What."
)
@click.option(
    "--format", "kind", type=click.Choice(sorted(_FORMATS)), default="parquet", show_default=True, help="How."
)
@click.option("--project", default="", help="Of one project alone.")
@click.option("--user", default="", help="Of one user alone (spans).")
@click.option("--since", type=click.DateTime(), help="From this time on, UTC.  [default: 30 days ago]")
@click.option("--until", type=click.DateTime(), help="Before this time, UTC.  [default: now]")
@click.pass_context
def export(
    context: click.Context,
    folder: Path,
    table: str,
    kind: str,
    project: str,
    user: str,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write rows to files, in order of time; the folder should be empty."""
    if user and table != "otel_traces":
        raise click.UsageError("--user goes with spans: --table otel_traces")
    admin = Admin(context)
    end = (until or datetime.now(UTC)).replace(tzinfo=UTC)
    start = (since or end - timedelta(days=30)).replace(tzinfo=UTC)
    where = "1"
    params = {}
    for name, column, value in (("project", "Project", project), ("user", "UserId", user)):
        if value:
            where += f" AND {column} = {{{name}:String}}"
            params[f"param_{name}"] = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise click.ClickException(f"there are files in {folder} already: choose another folder")
    total = 0
    ranges = [(round(start.timestamp() * 1e9), round(end.timestamp() * 1e9))]
    while ranges:
        low, high = ranges.pop()
        column = f"toUnixTimestamp64Nano({_TIMES[table]})"
        span = f"{column} >= {low} AND {column} < {high} AND {where}"
        counting = f"SELECT count() FROM {table} WHERE {span}"  # noqa: S608 - names are ours, values bound
        count = admin.send("POST", "/clickhouse", data=counting, params=params)
        rows = int(count.text)
        if rows > _FILE_ROWS and high - low > 1:
            middle = (low + high) // 2
            ranges += [(middle, high), (low, middle)]
            continue
        if not rows:
            continue
        file = folder / f"{table}-{low}.{kind}"
        query = f"SELECT * FROM {table} WHERE {span} ORDER BY {_TIMES[table]} FORMAT {_FORMATS[kind]}"  # noqa: S608
        file.write_bytes(admin.send("POST", "/clickhouse", data=query, params=params).content)
        total += rows
        click.echo(f"{file}: {rows:,} rows", err=True)
    click.echo(f"{total:,} rows")


@store.command(
    epilog="""\b
Examples:
  llmtrace store backup
"""
)
@click.pass_context
def backup(context: click.Context) -> None:
    """Write every table of the embedded store to data_dir/backups/TIME, as of one moment."""
    made = Admin(context).call("POST", "/v1/backups")
    click.echo(f"{sum(made['tables'].values()):,} rows in {made['folder']}", err=True)
    click.echo(made["name"])


@store.command(
    epilog="""\b
Examples:
  llmtrace store restore 20261120-103000
"""
)
@click.argument("name")
@click.pass_context
def restore(context: click.Context, name: str) -> None:
    """Fill an empty store from data_dir/backups/NAME."""
    made = Admin(context).call("POST", f"/v1/backups/{name}/restore")
    click.echo(f"{sum(made['tables'].values()):,} rows are back")
