"""Real emitters, run against replayed answers, give the same canonical record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmtrace.testing import ReplayServer
from llmtrace_collector.store.store import Store
from tests.sdk.naive import Recording
from tests.sdk.test_recordings import answer_of

from .running import Collector, events, exchange, message_text, needs, run

pytestmark = needs("emitters")

CALLS = {
    ("openai", False): "chat",
    ("openai", True): "chat-streamed",
    ("anthropic", False): "claude",
    ("anthropic", True): "claude-streamed",
}

EMITTERS = {
    "openai": (
        "openllmetry openai",
        "openinference openai",
        "otel openai",
        "logfire openai",
        "langfuse openai",
    ),
    "anthropic": (
        "openllmetry anthropic",
        "openinference anthropic",
        "otel anthropic",
        "logfire anthropic",
        "anthropic native",
    ),
}

#: What an emitter does not tell, streamed or not: the column is not compared.
GAPS: dict[tuple[str, bool], set[str]] = {
    # It adds up the usage that the stream repeats.
    ("openllmetry anthropic", True): {"OutputTokens", "first token"},
    # The log at a stream's end says what was answered and used, no more.
    ("logfire openai", True): {"first token", "FinishReasons", "ResponseModel"},
    ("logfire anthropic", True): {"first token", "FinishReasons"},
    # Nothing tells of the first token.
    ("openinference anthropic", True): {"first token"},
    # One model, the one that answered.
    **{
        ("langfuse openai", streamed): {"RequestModel", "ResponseModel", "FinishReasons"}
        for streamed in (False, True)
    },
    # The answer is only on the span of a call that is not streamed.
    ("anthropic native", True): {"said"},
}


def expected_record(kind: str, recorded: Recording) -> dict[str, Any]:
    """The canonical record that the replayed answer calls for."""
    request = json.loads(recorded.sent)
    parts = events(recorded)
    body = parts[0]
    if kind == "openai":
        key = "delta" if recorded.is_stream else "message"
        choices = [part["choices"][0] for part in parts if part["choices"]]
        answer_text = "".join(choice[key].get("content") or "" for choice in choices)
        reason = choices[-1]["finish_reason"]
        usage = next(part["usage"] for part in reversed(parts) if part.get("usage"))
        tokens = usage["prompt_tokens"], usage["completion_tokens"]
    elif recorded.is_stream:
        body = body["message"]
        answer_text = "".join(
            part["delta"].get("text", "") for part in parts if part["type"] == "content_block_delta"
        )
        last = next(part for part in parts if part["type"] == "message_delta")
        reason = last["delta"]["stop_reason"]
        tokens = body["usage"]["input_tokens"], last["usage"]["output_tokens"]
    else:
        answer_text, reason = body["content"][0]["text"], body["stop_reason"]
        tokens = body["usage"]["input_tokens"], body["usage"]["output_tokens"]
    return {
        "Provider": kind,
        "Operation": "chat",
        "RequestModel": request["model"],
        "ResponseModel": body["model"],
        "InputTokens": tokens[0],
        "OutputTokens": tokens[1],
        "FinishReasons": [{"end_turn": "stop"}.get(reason, reason)],
        "asked": request["messages"][-1]["content"],
        "said": answer_text,
        "first token": recorded.is_stream,
    }


@pytest.fixture(scope="module", params=[name for names in EMITTERS.values() for name in names])
def emitted(
    request: pytest.FixtureRequest, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[dict[str, Any]]]:
    """An emitter, and the spans that count of its two calls."""
    kind = "anthropic" if "anthropic" in request.param else "openai"
    calls = [exchange(CALLS[kind, streamed]) for streamed in (False, True)]
    with (
        ReplayServer(*map(answer_of, calls)) as provider,
        Collector(store, tmp_path_factory.mktemp("segments")) as collector,
    ):
        requests_json = json.dumps([json.loads(call.sent) for call in calls])
        run("emitters", "emit.py", request.param, provider.url, collector.url, stdin=requests_json)
        return request.param, collector.rows("Counted")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_real_emitter_gives_the_canonical_record(
    emitted: tuple[str, list[dict[str, Any]]], streamed: bool
) -> None:
    emitter, rows = emitted
    kind = "anthropic" if "anthropic" in emitter else "openai"
    recorded = exchange(CALLS[kind, streamed])
    assert len(rows) == 2
    row = rows[streamed]
    record = {
        **row,
        "InputTokens": int(row["InputTokens"] or 0),
        "OutputTokens": int(row["OutputTokens"] or 0),
        "asked": message_text(row["InputMessages"]),
        "said": message_text(row["OutputMessages"]),
        "first token": row["TimeToFirstToken"] is not None,
    }
    expected = {
        key: value
        for key, value in expected_record(kind, recorded).items()
        if key not in GAPS.get((emitter, streamed), set())
    }
    assert {key: record[key] for key in expected} == expected
    assert row["UsageFault"] == ""
