"""What calls were for, and when their bytes came: from the SDK through the collector to who counts them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

import llmtrace
from llmtrace.semconv import PURPOSES
from llmtrace.testing import Answer, ReplayServer, sse
from llmtrace_analysis.cost import report
from llmtrace_analysis.detect import store_queries
from llmtrace_analysis.detect.detectors.series import to_series
from llmtrace_analysis.queries import usage
from llmtrace_analysis.queries.scope import USUAL_PURPOSES, Scope, chosen_purposes
from llmtrace_cli.main import cli
from llmtrace_collector.settings import Budget
from tests.collector.otlp import llm, traces
from tests.collector.running import CLIENT, Served, settings

PAUSE = 0.05
REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello?"}], "stream": True}
USAGE = {"prompt_tokens": 9, "completion_tokens": 5}


def _chunk(finish: str | None = None, **delta: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "r", "object": "chat.completion.chunk", "model": "gpt-4o-mini", "choices": [choice]}


STREAM = [
    _chunk(role="assistant", content=""),
    *(_chunk(content=f"word{n} ") for n in range(5)),
    _chunk("stop"),
    {"id": "r", "choices": [], "usage": USAGE},
]
PLAIN = {
    "id": "p",
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
    "usage": USAGE,
}
#: Purpose → how many calls of it there are: each another number, so that no sum looks like another.
CALLS: dict[str, int] = {purpose: 2**index for index, purpose in enumerate(PURPOSES)}
OTHERS: list[str] = [purpose for purpose in PURPOSES if purpose not in USUAL_PURPOSES]

#: Further spans, as other senders write them: attributes of the span and of the resource, and what they are.
ODD: list[tuple[dict[str, object], dict[str, object], str]] = [
    ({}, {"llmtrace.simulated": True}, "simulated"),
    ({}, {"llmtrace.simulated": "true"}, "simulated"),
    ({}, {"llmtrace.simulated": "false"}, "product"),
    ({}, {"llmtrace.purpose": "replay"}, "replay"),
    ({"llmtrace.purpose": "judge"}, {"llmtrace.purpose": "replay"}, "judge"),
    ({"llmtrace.purpose": "judge"}, {"llmtrace.simulated": "true"}, "judge"),
    ({"llmtrace.purpose": "product"}, {"llmtrace.purpose": "bench"}, "product"),
    ({"llmtrace.purpose": "load test"}, {"llmtrace.purpose": "bench"}, "bench"),
    ({"llmtrace.purpose": "Bench"}, {}, "product"),
    ({}, {"llmtrace.purpose": "testing", "llmtrace.simulated": "true"}, "simulated"),
    ({"llmtrace.purpose": ""}, {"llmtrace.purpose": ""}, "product"),
]


def _budget(name: str, **fields: Any) -> Budget:
    return Budget(name=name, limit=1000, unit="requests", window="24h", project="shop", **fields)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with the calls above in the project `shop`, and the odd spans in `odd`."""
    budgets = (
        _budget("usual"),
        *(_budget(purpose, purposes=(purpose,)) for purpose in OTHERS),
        _budget("two", purposes=("product", "judge")),
        _budget("all", purposes=()),
    )
    folder = tmp_path_factory.mktemp("purposes")
    collector = Served(settings(folder, budgets=budgets))
    _call(collector.url)
    for number, (attributes, resource, _) in enumerate(ODD):
        named = {"user.id": f"odd-{number}", **attributes}
        body = traces([llm(named)], {"llmtrace.project": "odd", **resource})
        assert collector.post(body).is_success
    collector.stored()
    collector.collector.budgets.count()
    yield collector
    collector.close()


def _call(url: str) -> None:
    """Streams whose purpose a context says, or `init`, or nobody; and one plain call."""
    with ReplayServer(sse(STREAM, pause=PAUSE)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMTRACE_SPOOL_DIR", "off")
        llmtrace.init(endpoint=url, project="shop", strict=True)
        for _ in range(CALLS["product"]):
            _ask(server, user="product")
        for purpose in OTHERS[1:]:
            with llmtrace.context(purpose=purpose, user_id=purpose):
                for _ in range(CALLS[purpose]):
                    _ask(server)
        llmtrace.shutdown(20)
        llmtrace.init(endpoint=url, project="shop", purpose=OTHERS[0], strict=True)
        for _ in range(CALLS[OTHERS[0]]):
            _ask(server, user=OTHERS[0])
        llmtrace.shutdown(20)
        llmtrace.init(endpoint=url, project="plain", strict=True)
        server.answer_with(Answer(json.dumps(PLAIN).encode(), delay=PAUSE))
        httpx.post(server.url + "/v1/chat/completions", json={**REQUEST, "stream": False})
        llmtrace.shutdown(20)


def _ask(server: ReplayServer, user: str | None = None) -> None:
    # The pauses of one stream are enough to look at.
    with (
        llmtrace.context(user_id=user),
        httpx.stream("POST", server.url + "/v1/chat/completions", json=REQUEST) as response,
    ):
        response.read()
    server.answer_with(sse(STREAM))


@pytest.fixture(scope="module")
def scope() -> Scope:
    now = datetime.now(UTC)
    return Scope(now - timedelta(hours=1), now + timedelta(minutes=5), project="shop")


def test_spans_calls_and_every_rollup_keep_what_calls_were_for(served: Served) -> None:
    counted = {
        "otel_traces": "countIf(Counted)",
        "call_cost": "sum(Calls)",
        **dict.fromkeys(("usage_10s", "usage_hour", "usage_cost", "cost_hour"), "sum(Calls)"),
    }
    for table, calls in counted.items():
        rows = served.rows(
            f"SELECT toString(Purpose) AS purpose, toUInt32({calls}) AS calls FROM {table} "
            "WHERE Project = 'shop' GROUP BY purpose"
        )
        assert {row["purpose"]: row["calls"] for row in rows} == CALLS, table


def test_what_other_senders_say(served: Served) -> None:
    rows = served.rows("SELECT UserId, Purpose FROM otel_traces WHERE Project = 'odd'")
    purposes = {row["UserId"]: row["Purpose"] for row in rows}
    assert purposes == {f"odd-{number}": purpose for number, (_, _, purpose) in enumerate(ODD)}


def test_reports_are_of_the_products_calls_and_of_others_when_asked_for(served: Served, scope: Scope) -> None:
    asked = [USUAL_PURPOSES, ("product", "evaluation"), (), *((purpose,) for purpose in OTHERS)]
    with closing(served.reader()) as client:
        assert report.report(client, scope)["calls"].sum() == CALLS["product"]
        for purposes in asked:
            chosen = Scope(scope.since, scope.until, project="shop", purposes=purposes)
            expected = sum(CALLS[purpose] for purpose in purposes or PURPOSES)
            assert report.report(client, chosen)["calls"].sum() == expected
            assert usage.totals(client, chosen).calls == expected
        everything = Scope(scope.since, scope.until, project="shop", purposes=())
        by_purpose = report.report(client, everything, ["purpose"]).set_index("purpose")["calls"]
        assert by_purpose.to_dict() == CALLS
        assert usage.facets(client, scope).purposes.keys() == {*PURPOSES}


def test_purposes_are_chosen_by_word() -> None:
    assert chosen_purposes(["judge", "product", "judge"]) == ("product", "judge")
    assert chosen_purposes(["product", "all"]) == ()
    with pytest.raises(ValueError, match=r"'tests' is no purpose; use product, simulated, .* or all"):
        chosen_purposes(["tests"])


def _command(served: Served, *arguments: str) -> Result:
    options = ["--url", served.url, "--project", "shop", "--format", "json"]
    environment = {"LLMTRACE_ADMIN_KEY": served.admin_key}
    return CliRunner().invoke(cli, ["cost", "report", *arguments, *options], env=environment)


@pytest.mark.parametrize(
    ("options", "purposes"),
    [
        ([], ("product",)),
        (["--purpose", "bench"], ("bench",)),
        (["--purpose", "judge", "--purpose", "playground"], ("judge", "playground")),
        (["--purpose", "all"], PURPOSES),
        (["--simulated"], ("product", "simulated")),
    ],
)
def test_the_command_takes_purposes(served: Served, options: list[str], purposes: tuple[str, ...]) -> None:
    done = _command(served, *options)
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["calls"] == sum(CALLS[purpose] for purpose in purposes)
    warned = "--simulated goes in 0.3; write --purpose product --purpose simulated" in done.stderr
    assert warned == ("--simulated" in options)


def test_the_command_refuses_another_word(served: Served) -> None:
    done = _command(served, "--purpose", "tests")
    assert done.exit_code == 2
    assert "'tests' is not one of 'product', 'simulated'" in done.output


def test_budgets_count_the_products_calls_and_others_where_they_name_them(served: Served) -> None:
    answer = CLIENT.get(f"{served.url}/v1/budget", params={"project": "shop"}).json()
    spent = {budget["budget"]: budget["spent"] for budget in answer["budgets"]}
    assert spent == {
        "usual": CALLS["product"],
        **{purpose: CALLS[purpose] for purpose in OTHERS},
        "two": CALLS["product"] + CALLS["judge"],
        "all": sum(CALLS.values()),
    }


@pytest.mark.parametrize("purposes", [("product",), ("product", "bench"), ("evaluation",)])
def test_detection_watches_what_it_is_told_to(
    served: Served, scope: Scope, purposes: tuple[str, ...]
) -> None:
    since, until = int(scope.since.timestamp()), int(scope.until.timestamp())
    with closing(served.reader()) as client:
        series = [
            item
            for item in to_series(store_queries.usage(client, since, 10, purposes))
            if item.key.project == "shop"
        ]
        live = sum(int(item.live_calls.sum()) for item in series)
        known = sum(int(item.calls.sum()) for item in series)
        busy = store_queries.busy_users(client, since, until, 1, purposes)
    assert live == sum(CALLS[purpose] for purpose in purposes)
    assert known == live + CALLS["simulated"]
    assert {user for project, user, _ in busy if project == "shop"} == {*purposes}


_TIMES = """SELECT TimeToFirstByte, TimeToFirstToken, TimeToLastToken, TimePerOutputToken, TpotEstimated,
    Duration / 1e9 AS Seconds, OutputTokens
FROM otel_traces WHERE Project = {project:String} ORDER BY Timestamp LIMIT 1"""


def test_the_times_of_a_stream(served: Served) -> None:
    (row,) = served.rows(_TIMES, project="shop")
    first_byte, first, last = row["TimeToFirstByte"], row["TimeToFirstToken"], row["TimeToLastToken"]
    assert 0 < first_byte < first < last < row["Seconds"]
    # A busy machine may hold up any piece, and so lengthen one pause and shorten another.
    assert first - first_byte >= 0.2 * PAUSE, "a role, then the first word"
    assert last - first >= 3 * PAUSE, "five words"
    assert row["Seconds"] - last >= 2 * PAUSE, "the finish reason, usage and the mark of the end"
    assert row["OutputTokens"] == 5
    assert row["TimePerOutputToken"] == pytest.approx((last - first) / 4)
    assert not row["TpotEstimated"]


def test_the_times_of_a_plain_answer(served: Served) -> None:
    (row,) = served.rows(_TIMES, project="plain")
    assert PAUSE <= row["TimeToFirstByte"] <= row["Seconds"]
    assert (row["TimeToFirstToken"], row["TimeToLastToken"], row["TimePerOutputToken"]) == (None, None, None)
    assert not row["TpotEstimated"]
