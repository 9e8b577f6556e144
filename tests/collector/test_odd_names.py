"""Names with characters that mean something in queries: counted, answered, read and erased as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llmtrace_collector.settings import Budget

from .otlp import llm, traces
from .running import CLIENT, Served, settings, until

NAMES = ("a\\b", "a\tb", "a\nb", "it's", "\\N", "{project:String}", "é\\'😀")
#: What a query that decoded them wrongly would take the first two for.
NEIGHBOURS = ("a\b", "a b")


def calls_of(name: str) -> int:
    return NAMES.index(name) + 2


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector with calls of these users, a budget for each of them, and one for every user."""
    rules = [Budget(name=f"of {name}", limit=100, unit="requests", window="30d", user=name) for name in NAMES]
    rules.append(Budget(name="every", limit=100, unit="requests", window="30d", per="user"))
    collector = Served(settings(tmp_path_factory.mktemp("names"), budgets=tuple(rules)))
    for name in NAMES:
        assert collector.post(traces([llm({"user.id": name}) for _ in range(calls_of(name))])).is_success
    assert collector.post(traces([llm({"user.id": name}) for name in NEIGHBOURS])).is_success
    collector.stored()
    collector.collector.budgets.count()
    yield collector
    collector.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_of_the_user_counts_the_user_s_calls(served: Served, name: str) -> None:
    answer = CLIENT.get(f"{served.url}/v1/budget", params={"user": name}).json()
    spent = {budget["budget"]: (budget["key"], budget["spent"]) for budget in answer["budgets"]}
    assert spent == {f"of {name}": ("", calls_of(name)), "every": (name, calls_of(name))}


@pytest.mark.parametrize("name", NAMES)
def test_readers_find_the_user_s_calls(served: Served, name: str) -> None:
    text = "SELECT UserId, count() FROM otel_traces WHERE UserId = {user:String} GROUP BY UserId"
    with served.reader() as client:
        assert client.query(text, parameters={"user": name}).result_rows == [(name, calls_of(name))]
    assert served.rows(text, user=name) == [{"UserId": name, "count()": calls_of(name)}]


def test_erasing_one_user_leaves_the_others(served: Served) -> None:
    name = "{project:String}"
    answer = served.write("POST", "/v1/erasures", {"user": name, "project": "default"})
    assert answer.status_code in (200, 202), answer.text
    where = f"/v1/erasures/{answer.json()['erasure_id']}"
    until(lambda: served.write("GET", where, None).json()["state"] != "running", what="the erasure")
    assert served.write("GET", where, None).json()["error"] == ""
    left = {row["UserId"] for row in served.rows("SELECT DISTINCT UserId FROM otel_traces")}
    assert left == {*NAMES, *NEIGHBOURS} - {name}
