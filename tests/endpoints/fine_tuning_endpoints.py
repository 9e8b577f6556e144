"""Fine-tuning jobs, and what Gemini keeps for later prompts: what is billed by more than one exchange."""

from __future__ import annotations

from typing import Any, Final

import openai
from google import genai
from google.genai import types

from llmtrace.testing import Answer, ReplayServer

from .endpoint import Endpoint


def job(status: str, **more: Any) -> dict[str, Any]:
    """A fine-tuning job as it is told of."""
    return {
        "id": "ftjob-1",
        "object": "fine_tuning.job",
        "created_at": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "organization_id": "org-1",
        "result_files": [],
        "status": status,
        "trained_tokens": None,
        "training_file": "file-abc",
        "validation_file": None,
        "fine_tuned_model": None,
        "hyperparameters": {"n_epochs": 3},
        "seed": 1,
        "metadata": {"dataset_version": "orders-7"},
        **more,
    }


RESULT: Final = "ft:gpt-4o-mini-2024-07-18:acme::abc123"
DONE: Final = job("succeeded", trained_tokens=5049, fine_tuned_model=RESULT, finished_at=2)


def _trained(stream: bool) -> None:
    polled = [job("running"), DONE, DONE, {"object": "list", "data": [DONE], "has_more": False}]
    answers = [Answer.json(answer) for answer in (job("validating_files"), *polled)]
    with (
        ReplayServer(*answers) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client,
    ):
        created = client.fine_tuning.jobs.create(
            model="gpt-4o-mini-2024-07-18", training_file="file-abc", metadata={"dataset_version": "orders-7"}
        )
        for _ in range(3):
            client.fine_tuning.jobs.retrieve(created.id)
        client.fine_tuning.jobs.list()


def _listed(stream: bool) -> None:
    other = {**DONE, "id": "ftjob-2", "trained_tokens": 951}
    answer = {"object": "list", "data": [other, job("running", id="ftjob-3")], "has_more": False}
    with (
        ReplayServer(Answer.json(answer)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client,
    ):
        client.fine_tuning.jobs.list()
        client.fine_tuning.jobs.list()


CACHE: Final = {
    "name": "cachedContents/abc",
    "model": "models/gemini-2.5-flash",
    "createTime": "2026-11-20T10:00:00.000000Z",
    "updateTime": "2026-11-20T10:00:00.000000Z",
    "expireTime": "2026-11-20T12:00:00.000000Z",
    "usageMetadata": {"totalTokenCount": 4096},
}


def _cached(stream: bool) -> None:
    with ReplayServer(Answer.json(CACHE), Answer.json({})) as server:
        client = genai.Client(api_key="key", http_options=types.HttpOptions(base_url=server.url))
        cache = client.caches.create(
            model="gemini-2.5-flash",
            config=types.CreateCachedContentConfig(contents=["A long text."], ttl="7200s"),
        )
        client.caches.delete(name=cache.name or "")


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "fine-tuning jobs",
        "OpenAI",
        _trained,
        spans=("create_fine_tuning_job", *["fetch_response"] * 3, "fine_tuning"),
        usage={"TrainedTokens": 5049},
        price="unpriced",
        source="client",
        remark="created, looked at four times, counted once; set `training_per_million`",
    ),
    Endpoint(
        "fine-tuning jobs, listed",
        "OpenAI",
        _listed,
        spans=("fetch_response", "fetch_response", "fine_tuning"),
        usage={"TrainedTokens": 951},
        price="unpriced",
        source="client",
        remark="each job of a list that is over, once",
    ),
    Endpoint(
        "cached contents",
        "Gemini",
        _cached,
        spans=("cache_storage", "delete_cached_content"),
        usage={"CacheStorageTokenHours": 8192},
        price="unpriced",
        source="client",
        remark="until it expires, though it is deleted earlier; set `cache_storage_per_million`",
    ),
)
