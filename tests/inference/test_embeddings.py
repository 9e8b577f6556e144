"""Embeddings by the real openai client: right, and together in one pass when they come together."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httpx
import openai
import pytest
import torch
from openai import AsyncOpenAI
from openai.types import CreateEmbeddingResponse

from llmtrace_inference.engine.local.continuous_batching import ContinuousBatchingEngine
from tests.inference.running import Running, wait_until

MODEL = "tiny-chat-m"


def _servers(service: Running) -> list[Any]:
    return [s for s in service.exporter.get_finished_spans() if s.name == f"embeddings {MODEL}"]


def test_vectors_are_the_models_whatever_shares_their_pass(service: Running) -> None:
    texts = ["Hello!", "The weather was warm, the coffee was strong.", "Keep it short. " * 30]
    answer = service.client.embeddings.create(model=MODEL, input=texts)
    assert [d.index for d in answer.data] == [0, 1, 2]
    engine = service.engine(MODEL)
    assert isinstance(engine, ContinuousBatchingEngine)
    tokens = [engine.tokenizer.encode(text) for text in texts]
    assert answer.usage.prompt_tokens == sum(map(len, tokens))
    for vector, ids in zip(answer.data, tokens, strict=True):
        assert math.isclose(sum(v * v for v in vector.embedding), 1, rel_tol=1e-4)
        alone = service.client.embeddings.create(model=MODEL, input=ids, encoding_format="float")
        assert max(abs(a - b) for a, b in zip(vector.embedding, alone.data[0].embedding, strict=True)) < 1e-4
    # The model for embeddings has the engine's own weights, not copies.
    assert engine._embedding_model.lm_head.weight.data_ptr() == engine._loaded.model.lm_head.weight.data_ptr()
    assert torch.equal(engine._embedding_model.lm_head.weight, engine._loaded.model.lm_head.weight)
    generated = service.client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello!"}], max_tokens=4
    )
    assert generated.usage is not None


def test_requests_at_once_share_a_pass(service: Running) -> None:
    service.exporter.clear()

    async def ask_all() -> list[CreateEmbeddingResponse]:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(
                *(client.embeddings.create(model=MODEL, input=f"Question {i}?") for i in range(24))
            )

    answers = asyncio.run(ask_all())
    assert len({tuple(a.data[0].embedding) for a in answers}) == 24
    wait_until(lambda: len(_servers(service)) == 24)
    sizes = [(s.attributes or {})["llmtrace.inference.batch_size.max"] for s in _servers(service)]
    assert max(sizes) > 1
    parent = _servers(service)[0].context.span_id
    phases = [
        s.name for s in service.exporter.get_finished_spans() if s.parent and s.parent.span_id == parent
    ]
    assert phases == ["admission", "tokenize", "queue", "embed", "respond"]


@pytest.mark.parametrize("bad", [{"input": ""}, {"input": []}, {"input": [10**7]}, {"dimensions": 8}])
def test_what_cannot_be_embedded(service: Running, bad: dict[str, Any]) -> None:
    refused = httpx.post(f"{service.url}/v1/embeddings", json={"model": MODEL, "input": "x"} | bad)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith(next(iter(bad)))
    with pytest.raises(openai.NotFoundError):
        service.client.embeddings.create(model="none", input="x")
