"""A backtest of a fortnight in a real store: day, night, weekends, and one bad spell that people labelled."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner

from llmtrace_cli.main import cli
from llmtrace_collector.store.incident import fingerprint
from tests.collector.running import Served
from tests.collector.running import settings as collector_settings
from tests.collector.test_incidents import report

DAY = 86_400
END = int(time.time()) // 3600 * 3600
START = END - 14 * DAY
#: Ten times as slow, for five minutes in a busy hour.
SPELL = START + 10 * DAY + 36 * 600
DIMENSIONS = {"provider": "openai", "model": "gpt-4o-mini"}

_CALLS = f"""INSERT INTO otel_traces (
    Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, SpanAttributes, Duration,
    StatusCode, Project, ReceivedAt, StoredAt
)
WITH
    (cityHash64(minute, n, 'a') % 1000000 + 1) / 1000001 AS uniform,
    sqrt(-2 * log(uniform)) * cos(2 * pi() * (cityHash64(minute, n, 'b') % 1000000) / 1000000) AS normal,
    minute * 60000 + cityHash64(minute, n, 'at') % 60000 AS started,
    started >= {SPELL}000 AND started < {SPELL + 300}000 AS is_slow,
    cityHash64(minute, n, 'fails') % 1000 < 5 AS failed,
    toUInt64(1000 * exp(0.3 * normal) * if(is_slow, 10, 1)) AS took
SELECT
    fromUnixTimestamp64Milli(toInt64(started)), lower(hex(sipHash128(minute, n))),
    lower(hex(sipHash64(minute, n))), 'chat gpt-4o-mini', 'Client', 'shop', map('service.name', 'shop'),
    map(
        'gen_ai.operation.name', 'chat', 'gen_ai.provider.name', 'openai',
        'gen_ai.request.model', 'gpt-4o-mini',
        'gen_ai.response.model', 'gpt-4o-mini', 'gen_ai.usage.input_tokens', if(failed, '', '400'),
        'gen_ai.usage.output_tokens', if(failed, '', '120')
    ),
    took * 1000000, if(failed, 'Error', 'Unset'), 'shop',
    fromUnixTimestamp64Milli(toInt64(started + took)),
    fromUnixTimestamp64Milli(toInt64(started + took + 1000))
FROM (
    SELECT {START // 60} + number AS minute, minute * 60 AS at,
        (0.2 + 0.4 * (1 + cos(2 * pi() * (minute % 1440 - 840) / 1440)))
            * if((intDiv(minute, 1440) + 3) % 7 >= 5, 0.5, 1) AS load,
        toUInt32(if(at BETWEEN {SPELL - 2 * 3600} AND {SPELL + 3600}, 60, 6 * load)) AS calls
    FROM numbers({(END - START) // 60})
)
ARRAY JOIN range(calls) AS n
SETTINGS max_partitions_per_insert_block = 0, async_insert = 0, max_threads = 2"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    collector = Served(collector_settings(tmp_path_factory.mktemp("fortnight")))
    collector.collector.store.engine.execute(_CALLS)
    yield collector
    collector.close()


def backtest(served: Served, *arguments: str) -> dict[str, Any]:
    environment = {
        "LLMTRACE_COLLECTOR__PORT": served.url.rpartition(":")[2],
        "LLMTRACE_COLLECTOR__ADMIN_KEY": served.admin_key,
    }
    answer = CliRunner().invoke(
        cli, ["watch", "backtest", "--since", "14d", "--json", *arguments], env=environment
    )
    assert answer.exit_code == 0, answer.output
    body: dict[str, Any] = json.loads(answer.stdout)
    return body


def latency_of(body: dict[str, Any], number: int = 0) -> list[dict[str, Any]]:
    return [
        incident
        for incident in body["configurations"][number]["incidents"]
        if incident["rule"] == "anomaly.latency"
        and incident["dimensions"] == DIMENSIONS
        # What else is unusual in a fortnight depends on the day that it ends on.
        and SPELL <= datetime.fromisoformat(incident["opened"]).timestamp() < SPELL + 300
    ]


def test_the_spell_would_have_been_opened_and_hardly_anything_else(served: Served) -> None:
    body = backtest(served, "--against-sensitivity", "0.02")
    (incident,) = latency_of(body)
    assert incident["opened"] == time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(SPELL))
    assert 4 <= incident["minutes"] <= 8
    assert body["configurations"][0]["per_week"] <= 4
    assert body["configurations"][1]["count"] <= body["configurations"][0]["count"]


def test_noise_on_it_ends_it_in_the_next_backtest_with_labels_of_today(served: Served) -> None:
    same = fingerprint("anomaly.latency", "shop", DIMENSIONS)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(SPELL + 20))
    body = report(
        project="shop",
        rule="anomaly.latency",
        dimensions=DIMENSIONS,
        fingerprint=same,
        opened_at=at,
        last_seen_at=at,
        state="resolved",
    )
    for number in range(4):
        name = f"spell-{number}"
        assert served.write("PUT", f"/v1/incidents/{name}", body).status_code == 200
        assert served.write("POST", f"/v1/incidents/{name}/label", {"label": "noise"}).status_code == 200
    then, now = backtest(served), backtest(served, "--labels", "now")
    # Nobody had labelled it when it was opened.
    (incident,) = latency_of(then)
    assert incident["label"] == "noise"
    assert then["configurations"][0]["labelled_noise"] == {"opened": 4, "of": 4}
    # What is worst of it may still be more than four labels ask for.
    assert sum(item["minutes"] for item in latency_of(now)) <= incident["minutes"] / 3


def test_a_row_of_sensitivities_suggests_one(served: Served) -> None:
    body = backtest(served, "--wanted", "3", "--labels", "none")
    tried = body["tried"]
    assert [item["sensitivity"] for item in tried] == [0.1, 0.3, 1.0, 3.0, 10.0]
    counts = [item["count"] for item in tried]
    # Somewhere in between two may become one that lasts.
    assert counts[0] <= counts[-1], "more is opened by more sensitivity"
    fitting = [item["sensitivity"] for item in tried if item["per_week"] <= 3]
    assert body["suggested_sensitivity"] == max(fitting)
