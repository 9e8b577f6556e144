"""Formats and cases that no recording has, each from the wire to its span."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from llmtrace.testing import Answer, Captured, ReplayServer

from .naive import misshapen
from .provider_samples import PROVIDER_SAMPLES
from .wire_samples import SAMPLES, Sample

ALL = (*SAMPLES, *PROVIDER_SAMPLES)


@pytest.mark.parametrize("sample", ALL, ids=[sample.name for sample in ALL])
def test_sample(traces: Captured, sample: Sample) -> None:
    answer = Answer(sample.body(), headers={"content-type": sample.content_type})
    with ReplayServer(answer) as server, httpx.Client() as client:
        body = json.dumps(sample.sent).encode() if sample.sent is not None else None
        with client.stream(sample.method, server.url + sample.path, content=body) as response:
            assert response.read() == sample.body()
    *inner, span = traces.snapshot()
    attributes = span["attributes"]
    assert not misshapen(attributes)
    assert attributes["gen_ai.operation.name"] == sample.operation
    assert attributes["gen_ai.provider.name"] == sample.provider
    assert attributes.get("gen_ai.request.model") == sample.model
    assert attributes.get("gen_ai.response.finish_reasons") == sample.reasons
    assert _used(attributes) == sample.usage
    output = json.loads(attributes.get("gen_ai.output.messages", "[]"))
    assert [_summary(part) for message in output for part in message["parts"]] == sample.parts
    assert {key: attributes.get(key) for key in sample.more} == sample.more
    assert (span["status"][0] == "ERROR") == ("error.type" in sample.more)
    calls = [call["attributes"] for call in inner]
    assert [
        (call["llmtrace.inner_call"], call.get("gen_ai.request.model"), _used(call)) for call in calls
    ] == sample.inner
    assert all(call["gen_ai.provider.name"] == sample.provider for call in calls)
    if sample.sent is not None and sample.operation not in {"invoke_agent", "rerank", "predict"}:
        assert "gen_ai.input.messages" in attributes


def _used(attributes: dict[str, Any]) -> dict[str, Any]:
    return {key.partition("usage.")[2]: value for key, value in attributes.items() if ".usage." in key}


def _summary(part: dict[str, Any]) -> tuple[str, Any]:
    kind = part["type"]
    field = {"tool_call": "arguments", "server_tool_call": "name", "blob": "size"}.get(kind, "content")
    return kind, part.get(field)
