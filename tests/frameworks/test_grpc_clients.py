"""Providers' own clients over gRPC, at a server of gRPC."""

from __future__ import annotations

import json

import pytest

from .running import needs, run


@needs("grpc")
@pytest.mark.parametrize(
    ("client", "provider", "model", "count"),
    [("xai", "x_ai", "grok-4", 3), ("gemini", "gcp.gemini", "gemini-2.5-flash", 2)],
)
def test_a_call_by_the_providers_own_client(client: str, provider: str, model: str, count: int) -> None:
    spans = json.loads(run("grpc", "with_grpc.py", client).splitlines()[-1])
    calls = [span for span in spans if "rpc.method" in span]
    assert len(calls) == count
    for call in calls:
        assert call["gen_ai.provider.name"] == provider
        assert call["gen_ai.request.model"] == model
        assert (call["gen_ai.usage.input_tokens"], call["gen_ai.usage.output_tokens"]) == (12, 5)
        assert call["gen_ai.response.finish_reasons"] == ["stop"]
    # xAI's client has spans of its own, which tell of the same calls.
    assert all(span["llmtrace.counted"] is False for span in spans if "rpc.method" not in span)
