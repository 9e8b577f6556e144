"""What docs/scale.md tells people to write is something that the parts can read, and its sums are right."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmtrace_cli.config import load
from llmtrace_collector.store import row_policies
from llmtrace_collector.store.catalogue import BY_NAME
from llmtrace_collector.store.cluster import Cluster

_TEXT = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)


def figure(pattern: str) -> float:
    match = re.search(pattern, _TEXT)
    assert match, pattern
    return float(match.group(1).replace(",", ""))


@pytest.mark.parametrize("text", blocks("toml"))
def test_our_settings_are_settings(text: str, tmp_path: Path) -> None:
    file = tmp_path / "llmtrace.toml"
    file.write_text(text)
    collector = load.load(file, {}).collector
    assert collector.store.startswith("clickhouse://llmtrace:")
    if collector.store_reader:
        assert row_policies.statements("llmtrace", "llmtrace_reader", "x")[-1].endswith(
            "TO `llmtrace_reader`"
        )


def collectors() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(text) for text in blocks("yaml")]
    return [document for document in documents if "service" in document]


def test_pipelines_are_put_together_from_what_is_configured() -> None:
    assert len(collectors()) == 2
    for collector in collectors():
        for pipeline in collector["service"]["pipelines"].values():
            for kind in ("receivers", "exporters"):
                assert set(pipeline[kind]) == set(collector[kind])
    gateway, writer = collectors()
    sent, read = gateway["exporters"]["kafka"]["traces"], writer["receivers"]["kafka"]["traces"]
    assert [sent["topic"]] == read["topics"]
    assert sent["encoding"] == read["encoding"]


def test_the_landing_table_is_the_one_that_is_named() -> None:
    exporter = collectors()[1]["exporters"]["clickhouse"]
    assert BY_NAME[exporter["traces_table_name"]].server_only
    assert exporter["create_schema"] is False
    assert exporter["database"] == Cluster("fleet", "llmtrace").shard_database
    (command,) = (text for text in blocks("sh") if "rotel" in text)
    assert (
        f"--clickhouse-exporter-table-prefix {exporter['traces_table_name'].removesuffix('_traces')}"
        in command
    )
    assert exporter["database"] in command


def test_the_servers_know_the_cluster_that_is_named() -> None:
    (servers,) = (
        document for document in map(yaml.safe_load, blocks("yaml")) if "remote_servers" in document
    )
    named = [re.search(r'^cluster = "(\w+)"', text, re.MULTILINE) for text in blocks("toml")]
    assert {match.group(1) for match in named if match} == set(servers["remote_servers"])
    assert set(servers["macros"]) == {"shard", "replica"}


def test_sizes_follow_from_what_was_measured() -> None:
    rate = figure(r"`to_quiet_spans_per_cpu_second`\) \| ([\d,]+) \|")
    size = figure(r"`bytes_per_span`\) \| ([\d,]+) \|")
    with_rollups = figure(r"bytes per span × ([\d.]+)")
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) \| ([\d,.]+) GB \| ([\d.]+) (h|min) \|$", _TEXT, re.MULTILINE)
    assert len(rows) == 4
    for peak_text, cores, disk, lasts, unit in rows:
        peak = float(peak_text.replace(",", ""))
        assert int(cores) == math.ceil(peak / rate * 2)
        a_day = peak / 3 * 86_400 * size * with_rollups / 1e9
        assert float(disk.replace(",", "")) == pytest.approx(a_day, rel=0.02, abs=0.1)
        seconds = (4 << 30) / (peak * 2000)
        assert float(lasts) == pytest.approx(seconds / (3600 if unit == "h" else 60), rel=0.02, abs=0.06)
