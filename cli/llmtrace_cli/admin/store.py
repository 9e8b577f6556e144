"""`llmtrace store`: how much there is, whether it is whole, taking data out, erasing a user."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmtrace.common.tls import TlsFiles
from llmtrace_cli.config.read_settings import read_settings
from llmtrace_cli.extras import needs
from llmtrace_cli.terminal import say

from .client import own_collector
from .store_check import check, ledger

if TYPE_CHECKING:
    from llmtrace_analysis.collector_client import CollectorClient

    from .export_otlp import Destination

_TIMES = {
    "otel_traces": "Timestamp",
    "otel_logs": "Timestamp",
    "scores": "Timestamp",
    "otel_metrics_gauge": "TimeUnix",
    "otel_metrics_sum": "TimeUnix",
    "otel_metrics_histogram": "TimeUnix",
}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FORMATS = {"parquet": "Parquet", "jsonl": "JSONEachRow"}

#: Rows of one file at most; a longer time is divided, so that one answer stays within /clickhouse's limits.
_FILE_ROWS = 20_000


@click.group(
    epilog="""\b
Examples:
  llmtrace store stats
  llmtrace store export spans/ --table otel_traces --since 2026-11-01 --project shop
  llmtrace store delete --user ann@example.com --dry-run
  llmtrace store check
  llmtrace store backup
  llmtrace store reference
"""
)
def store() -> None:
    """What a running collector keeps: its size, checks and repair, exports, erasure, backups."""


store.add_command(check)
store.add_command(ledger)


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
    with own_collector(context) as collector:
        tables = collector.stats()
    for table in tables:
        if as_json:
            click.echo(json.dumps(table))
            continue
        ratio = table["bytes_uncompressed"] / max(table["bytes_on_disk"], 1)
        say(
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
    with own_collector(context) as collector:
        for table, rows in collector.erase(user, project, dry_run=True)["counts"].items():
            say(f"{table:<28} {rows:>12,} rows")
        if dry_run:
            return
        if not yes:
            click.confirm("Delete them for good?", abort=True)
        erasure = collector.erase(user, project)
        waiting = erasure["unstored_segments"]
        if erasure["quarantined_segments"]:
            say("the quarantine is not searched: see `llmtrace collector quarantine list`", err=True)
        reported = 0
        while True:
            erasure = collector.erasure(erasure["erasure_id"])
            steps, done = erasure["steps"], erasure["done"]
            for number, step in enumerate(steps[reported : done + 1], reported + 1):
                say(f"{number} of {len(steps)}: {step}", err=True)
                reported = number
            if erasure["state"] != "running":
                break
            time.sleep(0.1)
    if erasure["state"] != "done":
        at = (*steps, "cleaning up")[done] if steps else "the search for what to erase"
        raise click.ClickException(f"stopped at {at}; run it again: {erasure['error']}")
    say(f"deleted {sum(erasure['counts'].values()):,} rows")
    if waiting:
        raise click.ClickException(
            f"{waiting} segments of the log wait for space on the disk, and may name the user: make room and "
            "run it again when `llmtrace doctor` has nothing to say of the disk"
        )


@store.command(
    epilog="""\b
Examples:
  llmtrace store export spans/
  llmtrace store export spans/ --format jsonl --user u1 --since 2026-11-01 --until 2026-11-08
  llmtrace store export scores/ --table scores --project shop
  llmtrace store export requests/ --format otlp --since 2026-11-01 --until 2026-11-08
  llmtrace store export --to http://other:4318 --since 2026-11-01 --until 2026-11-08
"""
)
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--table", type=click.Choice(sorted(_TIMES)), default="otel_traces", show_default=True, help="What."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice([*sorted(_FORMATS), "otlp"]),
    help="How; otlp: files of one request each, of spans or log records.  [default: parquet]",
)
@click.option(
    "--to",
    "url",
    help="Send them as OTLP to this collector instead of to files; its key in LLMTRACE_EXPORT_KEY. "
    "Sent again with the same --since and --until, what has not changed is not stored twice by ours.",
)
@click.option(
    "--certificate", type=_FILE, help="PEM file to trust at --to, besides what this machine trusts."
)
@click.option("--client-certificate", type=_FILE, help="PEM file to present where --to demands one.")
@click.option("--client-key", type=_FILE, help="PEM file with its key.  [default: in the same file]")
@click.option("--project", default="", help="Of one project alone.")
@click.option("--user", default="", help="Of one user alone (spans).")
@click.option("--since", type=click.DateTime(), help="From this time on, UTC.  [default: 30 days ago]")
@click.option("--until", type=click.DateTime(), help="Before this time, UTC.  [default: now]")
@click.pass_context
def export(
    context: click.Context,
    folder: Path | None,
    table: str,
    kind: str | None,
    url: str | None,
    certificate: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    project: str,
    user: str,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Write rows to files, in order of time, or send them on; the folder should be empty."""
    if user and table != "otel_traces":
        raise click.UsageError("--user goes with spans: --table otel_traces")
    if (folder is None) == (url is None):
        raise click.UsageError("name a folder, or another collector by --to")
    kind = kind or ("parquet" if url is None else "otlp")
    if url is not None and kind != "otlp":
        raise click.UsageError("what is sent is OTLP: leave --format out")
    if kind == "otlp" and table not in ("otel_traces", "otel_logs"):
        raise click.UsageError("OTLP goes with --table otel_traces or otel_logs")
    end = (until or datetime.now(UTC)).replace(tzinfo=UTC)
    start = (since or end - timedelta(days=30)).replace(tzinfo=UTC)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise click.ClickException(f"there are files in {folder} already: choose another folder")
    total = 0
    with own_collector(context) as collector, ExitStack() as stack:
        destination = None
        if url is not None:
            from .export_otlp import Destination

            tls = TlsFiles(certificate, client_certificate, client_key)
            destination = Destination(url, os.environ.get("LLMTRACE_EXPORT_KEY", ""), tls)
            stack.callback(destination.close)
        rows = _Rows(collector, table, project, user)
        for low, high, count in rows.ranges(start, end):
            if kind == "otlp":
                total += _as_requests(rows, low, high, folder or destination)
            elif folder is not None:
                file = folder / f"{table}-{low}.{kind}"
                text = "SELECT * FROM {table} WHERE {{where}} ORDER BY {time} FORMAT {form}"
                query = text.format(table=table, time=_TIMES[table], form=_FORMATS[kind])
                file.write_bytes(rows.ask(query, low, high))
                total += count
                say(f"{file}: {count:,} rows", err=True)
    say(f"{total:,} rows")


class _Rows:
    """Rows of a table of a running collector, those of one project or user alone where one is named."""

    def __init__(self, collector: "CollectorClient", table: str, project: str, user: str) -> None:
        self.table = table
        self._collector = collector
        self._where = "1"
        self._parameters: dict[str, str] = {}
        for name, column, value in (("project", "Project", project), ("user", "UserId", user)):
            if value:
                self._where += f" AND {column} = {{{name}:String}}"
                self._parameters[name] = value

    def ranges(self, start: datetime, end: datetime) -> Iterator[tuple[int, int, int]]:
        """Spans of time [low, high) in Unix nanoseconds, of at most `_FILE_ROWS` rows each, and how many."""
        pending = [(round(start.timestamp() * 1e9), round(end.timestamp() * 1e9))]
        while pending:
            low, high = pending.pop()
            rows = int(self.ask(f"SELECT count() FROM {self.table} WHERE {{where}}", low, high))  # noqa: S608
            if rows > _FILE_ROWS and high - low > 1:
                middle = (low + high) // 2
                pending += [(middle, high), (low, middle)]
            elif rows:
                yield low, high, rows

    def ask(self, query: str, low: int, high: int) -> bytes:
        """The answer to a query whose `{where}` is about the rows of [low, high)."""
        column = f"toUnixTimestamp64Nano({_TIMES[self.table]})"
        where = f"{column} >= {low} AND {column} < {high} AND {self._where}"
        text = query.replace("{where}", where)
        return self._collector.query(text, self._parameters)


def _as_requests(rows: _Rows, low: int, high: int, to: "Path | Destination | None") -> int:
    """Write or send the rows of [low, high) as OTLP requests; returns their number."""
    from llmtrace_collector.attributes.fields import TEXTS

    from . import export_otlp

    texts = {text.name: text.keys[0] for text in TEXTS} if rows.table == "otel_traces" else {}
    lines = rows.ask(export_otlp.query(rows.table, "{where}", texts), low, high).splitlines()
    total = 0
    for number, (body, count) in enumerate(export_otlp.requests_of(rows.table, lines, texts)):
        if isinstance(to, Path):
            file = to / f"{rows.table}-{low}-{number}.binpb"
            file.write_bytes(body)
            say(f"{file}: {count:,} rows", err=True)
        elif to is not None:
            rejected = to.send(rows.table, count, body)
            note = f", {rejected:,} of them rejected" if rejected else ""
            say(f"{to.url}: {count:,} rows{note}", err=True)
        total += count
    return total


@store.command(
    epilog="""\b
Examples:
  llmtrace store policies | clickhouse-client --multiquery
"""
)
@click.pass_context
def policies(context: click.Context) -> None:
    """Print what confines reads with a project's key on a ClickHouse server, as SQL for its administrator.

    A role with row policies, and the user that collector.store_reader names. Run it again after an upgrade.
    """
    settings = read_settings(context, "collector").collector
    from llmtrace_collector.store.engine import server_arguments
    from llmtrace_collector.store.row_policies import statements

    if not settings.store_reader:
        raise click.ClickException(
            "collector.store_reader is not set: give it the address of the user to make, "
            "clickhouse://reader:a-password@host:8123/database"
        )
    reader = server_arguments(settings.store_reader)
    database = server_arguments(settings.store)["database"]
    for statement in statements(database, reader["username"], reader["password"], settings.cluster):
        click.echo(f"{statement};")


@store.command(
    epilog="""\b
Examples:
  llmtrace store reference
  llmtrace store reference > docs/tables.md
"""
)
def reference() -> None:
    """Print every table and column that can be read, as Markdown (docs/tables.md); no collector is asked."""
    with needs("collector"):
        from llmtrace_collector.store.table_reference import reference as render
    click.echo(render(), nl=False)


@store.command(
    epilog="""\b
Examples:
  llmtrace store backup
  llmtrace store backup --list
"""
)
@click.option("--list", "listed", is_flag=True, help="Say which there are and make none.")
@click.pass_context
def backup(context: click.Context, listed: bool) -> None:
    """Write every table of the embedded store to data_dir/backups/TIME: use `llmtrace backup`, which saves
    all parts.

    Its name is printed; keep the folder elsewhere. Senders are acknowledged meanwhile, from the log.
    """
    say("warning: this is the store without MLflow, settings and keys: use `llmtrace backup`", err=True)
    if listed:
        with own_collector(context) as collector:
            manifests = collector.backups()
        for manifest in manifests:
            rows = sum(manifest["tables"].values())
            say(f"{manifest['name']}  {rows:>12,} rows  schema {manifest['schema']}")
        return
    with own_collector(context) as collector:
        manifest = collector.back_up()
    say(f"{sum(manifest['tables'].values()):,} rows in {manifest['folder']}", err=True)
    say(manifest["name"])


@store.command(
    epilog="""\b
Examples:
  llmtrace store restore 20261120-103000
"""
)
@click.argument("name")
@click.pass_context
def restore(context: click.Context, name: str) -> None:
    """Fill an empty store from data_dir/backups/NAME: use `llmtrace restore`, which puts all parts back.

    Start a collector with a new data_dir, copy the backup's folder into its backups folder, restore. The
    collector should be of the version that wrote it. Rows are counted against what was saved.
    """
    say("warning: this is the store without MLflow, settings and keys: use `llmtrace restore`", err=True)
    with own_collector(context) as collector:
        manifest = collector.restore(name)
    say(f"{sum(manifest['tables'].values()):,} rows are back")
