"""The store on a cluster: its statements are what they were, the engine's parser takes every one of them, and
on one node, without Keeper and network between, a collector works on what they make.

    python -m tests.collector.test_cluster      # writes the snapshots anew: look at what changed
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from llmtrace_cli.main import cli
from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.store import row_policies
from llmtrace_collector.store.catalogue import BY_NAME, READABLE, SHARDED
from llmtrace_collector.store.cluster import Cluster
from llmtrace_collector.store.engine import StoreError
from llmtrace_collector.store.schema.description import SchemaSettings
from llmtrace_collector.store.schema.reconcile import creations
from llmtrace_collector.store.schema.sql_text import unreplicated
from llmtrace_collector.store.store import open_store

from .clickhouse import clickhouse_server
from .otlp import llm, span, traces
from .running import Launched, settings, until

_SNAPSHOTS = Path(__file__).parent / "snapshots"
_CLUSTER = Cluster("fleet", "llmtrace", SHARDED)


def cluster_statements() -> list[str]:
    return [*_CLUSTER.databases(), *creations(SchemaSettings(), cluster=_CLUSTER)]


def policy_statements() -> list[str]:
    statements = []
    for cluster in ("", "fleet"):
        statements += row_policies.statements("llmtrace", "reader", "s3cret", cluster)
    return statements


def outline(statement: str) -> str:
    """What the cluster changes in a statement: its head, the tables it names, engine and settings."""
    text = re.sub(r"\s+", " ", statement)
    head = re.split(r" \(| SELECT | AS SELECT", text)[0]
    tables = re.findall(r"\b(?:FROM|JOIN) (llmtrace\w*\.\w+)", text)
    engine = re.findall(r"ENGINE = (.*)$", text)
    return " | ".join([head, *dict.fromkeys(tables), *engine])


def snapshots() -> dict[str, str]:
    return {
        "cluster.txt": "\n".join(outline(statement) for statement in cluster_statements()) + "\n",
        "policies.txt": "\n".join(policy_statements()) + "\n",
    }


@pytest.mark.parametrize("name", ["cluster.txt", "policies.txt"])
def test_statements_are_what_they_were(name: str) -> None:
    assert snapshots()[name] == (_SNAPSHOTS / name).read_text(), (
        "the statements have changed: if they should have, run `python -m tests.collector.test_cluster`"
    )


def test_the_engine_parses_every_statement() -> None:
    program = (
        "import chdb, sys\n"
        "handle = chdb.connect(':memory:')\n"
        "for statement in sys.stdin.read().split('\\0'):\n"
        "    handle.query('EXPLAIN AST ' + statement)\n"
        "handle.close()\n"
    )
    statements = [*cluster_statements(), *policy_statements()]
    assert len(statements) > 150
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="\0".join(statements),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_table_is_named_with_its_database() -> None:
    for statement in cluster_statements():
        for name in re.findall(r"\b(?:FROM|JOIN|TO|TABLE|VIEW|EXISTS)\s+(\w+)(?![\w.(])", statement):
            assert name not in BY_NAME, statement[:200]
        assert statement.count(" ON CLUSTER fleet") == 1
        if "MergeTree" in statement:
            assert "ENGINE = Replicated" in statement
            assert "non_replicated" not in statement
            assert "replicated_deduplication_window = 10000" in statement


def test_a_rebuilt_table_is_one_replicas_own() -> None:
    full = "ReplicatedAggregatingMergeTree('/tables/d/{shard}/t', '{replica}') PARTITION BY a ORDER BY b"
    assert unreplicated(full) == "AggregatingMergeTree() PARTITION BY a ORDER BY b"
    assert unreplicated("ReplicatedReplacingMergeTree('/p', '{r}', Version)") == "ReplacingMergeTree(Version)"
    assert unreplicated("MergeTree ORDER BY a") == "MergeTree ORDER BY a"


def test_every_readable_table_has_its_policy() -> None:
    statements = row_policies.statements("llmtrace", "reader", "s3cret")
    assert not [statement for statement in statements if "s3cret" in statement]
    for name in READABLE:
        assert f"GRANT SELECT ON llmtrace.{name} TO llmtrace_project_reader" in statements
    policed = {
        match.group(1)
        for statement in statements
        if (match := re.search(r"POLICY .* ON llmtrace\.(\w+) FOR", statement))
    }
    assert policed >= {"otel_traces", "price_book", "incident_versions", "completeness_counts"}
    assert not policed & {"usage_cost", "prices", "incidents"}  # views read what is policed
    assert "Project = getSetting('SQL_llmtrace_project')" in next(
        e for e in statements if "ON llmtrace.otel_logs FOR" in e
    )


def test_the_command_prints_the_policies(tmp_path: Path) -> None:
    file = tmp_path / "llmtrace.toml"
    text = '[collector]\nstore = "clickhouse://w:x@h:8123/llmtrace"\n'
    file.write_text(text)
    command = ["--config", str(file), "store", "policies"]
    refused = CliRunner().invoke(cli, command)
    assert refused.exit_code == 1
    assert "store_reader is not set" in refused.output
    file.write_text(f'{text}store_reader = "clickhouse://reader:s3cret@h:8123/llmtrace"\ncluster = "fleet"\n')
    printed = CliRunner().invoke(cli, command)
    assert printed.exit_code == 0, printed.output
    printed_statements = printed.output.strip().removesuffix(";").split(";\n")
    assert printed_statements == row_policies.statements("llmtrace", "reader", "s3cret", "fleet")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cluster": "fleet"}, "needs a ClickHouse server"),
        ({"cluster": "a b", "store": "clickhouse://h/d"}, "pattern"),
        ({"store_reader": "clickhouse://r:p@h/d"}, "needs a ClickHouse server"),
        ({"store_reader": "http://h", "store": "clickhouse://h/d"}, "store_reader should be"),
    ],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CollectorSettings(**fields)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that takes the statements of a cluster of one node."""
    with clickhouse_server(tmp_path_factory.mktemp("node"), "one-node") as server:
        dsn = f"clickhouse://default:@{server}/llmtrace"
        # Everything is made here, which takes its time: a collector that is started finds it.
        open_store(dsn, cluster="fleet").close()
        yield dsn


def test_a_collector_works_on_a_cluster(address: str, folder: Path) -> None:
    with Launched(settings(folder, store=address, cluster="fleet")) as collector:
        first, other = llm({"user.id": "ann"}), span()
        body = traces([first, other], {"service.name": "s", "llmtrace.project": "shop"}).SerializeToString()
        for _ in range(2):
            assert collector.post(body).status_code == 200
        collector.stored()
        assert collector.value("SELECT count(), uniqExact(SpanId) FROM otel_traces") == "2\t2"
        assert collector.value("SELECT sum(Calls), sum(InputTokens) FROM usage_10s") == "1\t120"
        assert collector.value("SELECT sum(Stored) FROM completeness WHERE Signal = 'traces'") == "2"
        assert collector.value("SELECT count() FROM usage_cost") == "1"
        assert collector.value("SELECT count() FROM cost_hour") == "1"
        until(lambda: collector.value("SELECT count() FROM prices") != "0", 60, "pricing")

        # Nothing of this server holds one project's key to its project.
        key = collector.write("POST", "/v1/keys", {"role": "read", "project": "shop"}).json()["key"]
        refused = httpx.post(
            f"{collector.url}/clickhouse/",
            content="SELECT count() FROM otel_traces",
            headers={"authorization": f"Bearer {key}"},
        )
        assert refused.status_code == 403
        assert "llmtrace store policies" in refused.text

        assert collector.write("POST", "/v1/usage/rebuild", {}).status_code == 200
        as_admin = collector.reader(collector.admin_key)
        assert as_admin.query("SELECT sum(Calls) FROM usage_10s").result_rows == [(1,)]
        assert as_admin.query("SELECT sum(Calls) FROM usage_hour").result_rows == [(1,)]
        assert collector.write("POST", "/v1/erasures", {"user": "ann"}).status_code == 200
        count: Callable[[], int] = lambda: int(  # noqa: E731 - asked again and again
            as_admin.query("SELECT count() FROM otel_traces").result_rows[0][0]
        )
        until(lambda: count() == 1, 60, "the erasure")
        as_admin.close()
        collector.stop()


def test_a_segment_is_inserted_once_and_lies_in_the_shard(address: str, tmp_path: Path) -> None:
    from .test_server import segment

    store = open_store(address, cluster="fleet")
    try:
        before = int(store.read("SELECT count() FROM otel_traces"))
        path = segment(tmp_path, 5)
        for _ in range(2):
            store.insert_segment("traces", path, "cluster-token")
        assert int(store.read("SELECT count() FROM otel_traces")) == before + 5
        assert int(store.engine.execute("SELECT count() FROM llmtrace_shard.otel_traces")) == before + 5
        with pytest.raises(StoreError):
            store.read("SELECT count() FROM otlp_traces_in")  # what is written to is not where one reads
        row = {"Minute": 0, "Reason": "test"}
        store.insert_rows("usage_stale", [row])
        assert int(store.engine.execute("SELECT count() FROM llmtrace_shard.usage_stale")) == 1
        assert store.rebuild_stale() == 1
    finally:
        store.close()


if __name__ == "__main__":
    _SNAPSHOTS.mkdir(exist_ok=True)
    for name, text in snapshots().items():
        (_SNAPSHOTS / name).write_text(text)
