"""What others say that a call cost: from attributes of every emitter to the columns of spans."""

from __future__ import annotations

import json
from collections.abc import Mapping

from llmtrace_collector.attributes.stated_costs import STATED_IN

from .otlp import CLIENT, llm, traces
from .running import Served

LISTED = {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}

Stated = tuple[float | None, str]


def stated(served: Served, *values: Mapping[str, object]) -> list[Stated]:
    """StatedCost and StatedBy of LLM spans with these attributes, in their order."""
    sent = [llm({**LISTED, **attributes}, kind=CLIENT) for attributes in values]
    assert served.post(traces(sent)).status_code == 200
    served.stored()
    ids = [span.span_id.hex() for span in sent]
    rows = served.rows(
        "SELECT SpanId, StatedCost, StatedBy FROM otel_traces WHERE has({ids:Array(String)}, SpanId)", ids=ids
    )
    stated_costs = {row["SpanId"]: (row["StatedCost"], row["StatedBy"]) for row in rows}
    return [stated_costs[span_id] for span_id in ids]


def _attribute(source: str, cost: object) -> dict[str, object]:
    """An attribute that states the cost where `source` says."""
    key, *path = source.split(">")
    value = cost
    for name in reversed(path):
        value = {name: value}
    return {key: json.dumps(value) if path else value}


def test_the_stated_cost_of_each_emitter(served: Served) -> None:
    costs = (0.00125, 5e-7, 0.0, 12)
    expected: list[Stated] = [(cost, by) for by in STATED_IN.values() for cost in costs]
    spans = [_attribute(source, cost) for source in STATED_IN for cost in costs]
    assert stated(served, *spans) == expected


def test_the_sdks_own_attributes(served: Served) -> None:
    own = {"llmtrace.usage.stated_cost": 0.02, "llmtrace.usage.stated_by": "openrouter"}
    # What another tracer on the same span computed says nothing beside them.
    assert stated(served, own, {**own, "operation.cost": 7.0}) == [(0.02, "openrouter")] * 2


def test_costs_that_are_made_up_of_parts_or_stand_in_the_answer(served: Served) -> None:
    cases: list[tuple[dict[str, object], Stated]] = [
        ({"llm.cost.prompt": 0.25, "llm.cost.completion": 0.5}, (0.75, "openinference")),
        ({"llm.cost.completion": 0.5}, (0.5, "openinference")),
        (_json("langfuse.observation.cost_details", {"input": 0.25, "output": 0.5}), (0.75, "langfuse")),
        (_json("output.value", {"usage": {"cost": 0.5, "is_byok": False}}), (0.5, "openrouter")),
        (_json("response_data", {"usage": {"cost_in_usd_ticks": 37_756_000}}), (0.0037756, "x_ai")),
        (_json("mlflow.spanOutputs", {"usage": {"cost": {"total_cost": 1.5}}}), (1.5, "perplexity")),
        (_json("output.value", {"usage": {"cost": 0.5}}), (0.5, "gateway")),
        (_json("output.value", {"usage": {"prompt_tokens": 5}}), (None, "")),
        ({}, (None, "")),
    ]
    assert stated(served, *(values for values, _ in cases)) == [expected for _, expected in cases]


def _json(key: str, value: object) -> dict[str, object]:
    return {key: json.dumps(value)}


def test_what_can_be_no_cost_is_refused_and_marked(served: Served) -> None:
    odd = (-0.1, "-0.0", "NaN", float("nan"), float("inf"), 10_000, 1e300, "much", "{}", True)
    own = [{"llmtrace.usage.stated_cost": cost, "llmtrace.usage.stated_by": "logfire"} for cost in odd]
    others = [{"operation.cost": cost} for cost in odd]
    assert stated(served, *own, *others) == [(None, "logfire")] * (2 * len(odd))
    negative = [
        _json("langfuse.observation.cost_details", part) for part in ({"a": -1.0, "b": 2.0}, {"total": -3})
    ]
    assert stated(served, *negative) == [(None, "langfuse")] * 2


def test_another_currency_is_refused_and_marked(served: Served) -> None:
    keys = ("llmtrace.usage.stated_currency", "gen_ai.usage.cost.currency")
    currencies = {"USD": 0.5, "usd": 0.5, "": 0.5, "EUR": None, "CNY": None}
    spans = [{"gen_ai.usage.cost.amount": 0.5, key: currency} for key in keys for currency in currencies]
    assert stated(served, *spans) == [(cost, "gen_ai") for _ in keys for cost in currencies.values()]


def test_spans_that_call_no_model_state_no_cost(served: Served) -> None:
    assert stated(served, {"gen_ai.operation.name": "invoke_agent", "operation.cost": 0.5}) == [(None, "")]
