"""Batches by the providers' own clients: made, polled, and their results read twice."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any, Final

import anthropic
import openai
from google import genai

from llmtrace.testing import Answer, ReplayServer
from llmtrace.testing.replay import Received

from . import batch_samples as samples
from .endpoint import Endpoint

_NUMBERS = itertools.count()
"""No result has the id of another: it would be the same one, read again."""
_OF_BATCH = ("create_batch", "fetch_batch", "fetch_batch_results", "fetch_batch_results")
_READ_TWICE = "results read twice, counted once, at the price of batches"


def _of_openai(
    endpoint: Any, body: Callable[[int], Any], provider: str | None = None
) -> Callable[[bool], None]:
    def send(stream: bool) -> None:
        results = [samples.openai_line(number, body(number)) for number in _numbers()]
        respond = samples.files(lambda _: samples.openai_batch(endpoint), results)
        with (
            ReplayServer(provider=provider, respond=respond) as server,
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client,
        ):
            batch = client.batches.create(input_file_id="file-in", endpoint=endpoint, completion_window="24h")
            client.batches.retrieve(batch.id)
            for _ in range(2):
                if stream:
                    with client.files.with_streaming_response.content("file-out") as response:
                        assert list(response.iter_lines())
                else:
                    assert client.files.content("file-out").text

    return send


def _numbers() -> list[int]:
    return list(itertools.islice(_NUMBERS, 2))


def _of_anthropic(stream: bool) -> None:
    results = [samples.anthropic_line(number) for number in _numbers()]

    def respond(request: Received) -> Answer:
        if request.path.endswith("/results"):
            return samples.lines(results)
        return Answer.json(samples.anthropic_batch(f"http://{request.headers['host']}"))

    with (
        ReplayServer(respond=respond) as server,
        anthropic.Anthropic(base_url=server.url, api_key="k", max_retries=0) as client,
    ):
        message: Any = {"role": "user", "content": "Hi"}
        params: Any = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [message]}
        client.messages.batches.create(requests=[{"custom_id": "q-0", "params": params}])
        for _ in range(2):  # it asks for the batch before, each time
            assert len(list(client.messages.batches.results("msgbatch_1"))) == len(results)


def _client(server: ReplayServer) -> Any:
    return genai.Client(api_key="k", http_options={"base_url": server.url})


def _of_gemini(stream: bool) -> None:
    results = [{"response": samples.gemini_answer(number)} for number in _numbers()]
    output = {"inlinedResponses": {"inlinedResponses": results}}
    answer = Answer.json(samples.gemini_operation(output))
    with ReplayServer(provider="gcp.gemini", respond=lambda _: answer) as server:
        client = _client(server)
        client.batches.create(model="gemini-2.5-flash", src=[{"contents": [{"parts": [{"text": "Hi"}]}]}])
        for _ in range(2):
            job = client.batches.get(name="batches/b1")
            assert len(job.dest.inlined_responses) == len(results)


def _of_gemini_file(stream: bool) -> None:
    results = [{"key": f"q-{number}", "response": samples.gemini_answer(number)} for number in _numbers()]
    operation = samples.gemini_operation({"responsesFile": "files/batch-1"})
    respond = samples.files(lambda _: operation, results, ":download")
    with ReplayServer(provider="gcp.gemini", respond=respond) as server:
        client = _client(server)
        client.batches.create(model="gemini-2.5-flash", src="files/in")
        job = client.batches.get(name="batches/b1")
        for _ in range(2):
            assert client.files.download(file=job.dest.file_name).count(b"\n") == len(results)


def _of_gemini_embeddings(stream: bool) -> None:
    embedded = {"embedding": {"values": [0.1, 0.2]}, "tokenCount": "7"}
    results = [{"key": f"q-{number}", "response": embedded} for number in _numbers()]
    operation = samples.gemini_operation({"responsesFile": "files/batch-2"}, "gemini-embedding-001")
    respond = samples.files(lambda _: operation, results, ":download")
    with ReplayServer(provider="gcp.gemini", respond=respond) as server:
        client = _client(server)
        client.batches.create_embeddings(model="gemini-embedding-001", src={"file_name": "files/in"})
        client.batches.get(name="batches/b1")
        for _ in range(2):
            client.files.download(file="files/batch-2")


def _of_mistral(stream: bool) -> None:
    from mistralai.client import Mistral

    results = [
        samples.openai_line(number, samples.chat_body(number, model="mistral-small-latest"))
        for number in _numbers()
    ]
    respond = samples.files(lambda _: samples.mistral_job(), results)
    with ReplayServer(provider="mistral_ai", respond=respond) as server:
        client = Mistral(api_key="k", server_url=server.url)
        job = client.batch.jobs.create(
            input_files=["file-in"], model="mistral-small-latest", endpoint="/v1/chat/completions"
        )
        client.batch.jobs.get(job_id=job.id)
        for _ in range(2):
            read = io.BytesIO(client.files.download(file_id="file-out").read())
            assert len(read.readlines()) == len(results)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "batch of chat completions",
        "OpenAI",
        _of_openai("/v1/chat/completions", samples.chat_body),
        spans=("chat", "chat", *_OF_BATCH),
        usage={"InputTokens": 24, "OutputTokens": 10},
        price="listed",
        streams=True,
        remark=_READ_TWICE,
    ),
    Endpoint(
        "batch of Responses",
        "OpenAI",
        _of_openai("/v1/responses", samples.response_body),
        spans=("chat", "chat", *_OF_BATCH),
        usage={"InputTokens": 18, "OutputTokens": 8},
        price="listed",
        streams=True,
        remark=_READ_TWICE,
    ),
    Endpoint(
        "batch of embeddings",
        "OpenAI",
        _of_openai("/v1/embeddings", lambda _: samples.embedding_body()),
        spans=(*_OF_BATCH[:1], "embeddings", "embeddings", *_OF_BATCH[1:]),
        usage={"InputTokens": 14},
        price="listed",
        streams=True,
        remark=_READ_TWICE,
    ),
    Endpoint(
        "batch of chat completions",
        "Azure, Groq, Together, … (OpenAI's shapes)",
        _of_openai("/v1/chat/completions", samples.chat_body, "groq"),
        spans=("chat", "chat", *_OF_BATCH),
        usage={"InputTokens": 24, "OutputTokens": 10},
        price="unpriced",
        streams=True,
        remark="priced where the list has the model's",
    ),
    Endpoint(
        "batch jobs",
        "Mistral",
        _of_mistral,
        spans=("chat", "chat", *_OF_BATCH),
        usage={"InputTokens": 24, "OutputTokens": 10},
        price="listed",
        remark=_READ_TWICE,
    ),
    Endpoint(
        "message batches",
        "Anthropic",
        _of_anthropic,
        spans=("chat", "chat", "create_batch", "fetch_batch", "fetch_batch", *_OF_BATCH[2:]),
        usage={"InputTokens": 20, "OutputTokens": 12},
        price="listed",
        remark=_READ_TWICE,
    ),
    Endpoint(
        "batch, results within",
        "Gemini",
        _of_gemini,
        spans=("create_batch", "fetch_batch", "fetch_batch", "generate_content", "generate_content"),
        usage={"InputTokens": 16, "OutputTokens": 6},
        price="listed",
        remark=_READ_TWICE,
    ),
    Endpoint(
        "batch, results in a file",
        "Gemini",
        _of_gemini_file,
        spans=(*_OF_BATCH, "generate_content", "generate_content"),
        usage={"InputTokens": 16, "OutputTokens": 6},
        price="listed",
        remark=_READ_TWICE,
    ),
    Endpoint(
        "batch of embeddings",
        "Gemini",
        _of_gemini_embeddings,
        spans=(*_OF_BATCH[:1], "embeddings", "embeddings", *_OF_BATCH[1:]),
        usage={"InputTokens": 14},
        price="listed",
        remark=_READ_TWICE,
    ),
    Endpoint(
        "batches whose results are objects in a store (S3, Cloud Storage)",
        "Amazon Bedrock, Vertex AI",
        remark="no HTTP of the model's provider brings the results",
    ),
)
