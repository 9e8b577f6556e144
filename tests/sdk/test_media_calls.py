"""Speech, images, moderation, fine-tuning jobs and cached contents: what is recorded and counted of each."""

from __future__ import annotations

import asyncio
import hashlib
import json
from base64 import b64encode
from typing import Any

import aiohttp
import httpx
import openai
import pytest
import requests
from google import genai
from google.genai import types

from llmtrace.testing import Answer, Captured, ReplayServer, capture, sse
from llmtrace.wire import registry
from llmtrace.wire.media_parts import without_media
from llmtrace.wire.render import render
from tests.endpoints.fine_tuning_endpoints import CACHE, DONE, RESULT, job
from tests.endpoints.media_endpoints import PNG

from .test_wire_odd import ODD, pieces, replaced

MP3 = b"ID3" + bytes(range(256)) * 20


def _parts(span: Any, name: str = "gen_ai.output.messages") -> list[dict[str, Any]]:
    return [part for message in json.loads(span["attributes"][name]) for part in message["parts"]]


def _usage(span: Any) -> dict[str, int]:
    return {
        key.partition("usage.")[2]: count for key, count in span["attributes"].items() if ".usage." in key
    }


def _spoken_by_httpx(url: str, body: dict[str, Any]) -> bytes:
    with httpx.stream("POST", url, json=body) as response:
        return b"".join(response.iter_bytes())


def _spoken_by_aiohttp(url: str, body: dict[str, Any]) -> bytes:
    async def run() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            return await response.read()

    return asyncio.run(run())


def _spoken_by_openai(url: str, body: dict[str, Any]) -> bytes:
    async def run() -> bytes:
        base = url.removesuffix("/audio/speech")
        async with (
            openai.AsyncOpenAI(base_url=base, api_key="k") as client,
            client.audio.speech.with_streaming_response.create(**body) as response,
        ):
            return b"".join([piece async for piece in response.iter_bytes()])

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["audio/mpeg", "application/octet-stream"])
@pytest.mark.parametrize(
    "ask",
    [
        _spoken_by_httpx,
        _spoken_by_aiohttp,
        _spoken_by_openai,
        lambda url, body: requests.post(url, json=body, timeout=30).content,
    ],
    ids=["httpx", "aiohttp", "openai-async", "requests"],
)
def test_speech_is_sound_of_size_type_and_digest(ask: Any, kind: str) -> None:
    with ReplayServer(Answer(MP3, headers={"content-type": kind})) as server, capture() as traces:
        body = {"model": "tts-1", "input": "Grüße", "voice": "alloy"}
        assert ask(server.url + "/v1/audio/speech", body) == MP3
    (span,) = traces.snapshot()
    assert span["name"] == "speech tts-1"
    assert span["attributes"]["gen_ai.output.type"] == "speech"
    assert _usage(span) == {"speech_characters": 5}
    (sound,) = _parts(span)
    assert (sound["mime_type"], sound["size"], sound["content"]) == ("audio/mpeg", len(MP3), "")
    assert sound["sha256"] == hashlib.sha256(MP3).hexdigest()


@pytest.mark.parametrize("first", [b":", b"{", b"data: ", b"--", b"\x1f\x8b", b"["])
def test_sound_may_begin_with_any_bytes(first: bytes) -> None:
    data = first + bytes(300)
    with ReplayServer(Answer(data, headers={"content-type": "audio/pcm"})) as server, capture() as traces:
        httpx.post(server.url + "/v1/audio/speech", json={"model": "tts-1", "input": "Hi"})
    (span,) = traces.snapshot()
    (sound,) = _parts(span)
    assert (sound["size"], sound["mime_type"]) == (len(data), "audio/pcm")
    assert "gen_ai.request.stream" not in span["attributes"]


def test_long_speech_has_a_size_and_no_digest() -> None:
    piece = MP3 * 100
    answer = Answer(headers={"content-type": "audio/mpeg"}, chunks=[piece] * 20)
    with ReplayServer(answer) as server, capture() as traces:
        _spoken_by_httpx(server.url + "/v1/audio/speech", {"model": "tts-1", "input": "Hi"})
    (span,) = traces.snapshot()
    assert span["attributes"]["llmtrace.body.truncated"] is True
    (sound,) = _parts(span)
    assert sound["size"] == 20 * len(piece)
    assert "sha256" not in sound


def test_speech_that_failed_is_not_billed() -> None:
    error = Answer.json({"error": {"message": "no such voice", "type": "invalid_request_error"}}, 400)
    with ReplayServer(error) as server, capture() as traces:
        httpx.post(server.url + "/v1/audio/speech", json={"model": "tts-1", "input": "Hi"})
    (span,) = traces.snapshot()
    assert _usage(span) == {}
    assert span["status"] == ("ERROR", "no such voice")


def test_streamed_events_of_speech_are_joined() -> None:
    events = [
        *({"type": "speech.audio.delta", "audio": b64encode(MP3[at : at + 100]).decode()} for at in (0, 100)),
        {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 9, "total_tokens": 12}},
    ]
    with ReplayServer(sse(events, done=False)) as server, capture() as traces:
        body = {"model": "gpt-4o-mini-tts", "input": "Hi", "stream_format": "sse"}
        _spoken_by_httpx(server.url + "/v1/audio/speech", body)
    (span,) = traces.snapshot()
    assert _usage(span) == {"input_tokens": 3, "output_tokens": 9}
    assert _parts(span)[0]["sha256"] == hashlib.sha256(MP3[:200]).hexdigest()
    assert span["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]
    assert "gen_ai.response.time_to_first_chunk" in span["attributes"]


def test_an_edit_has_its_images_and_its_mask() -> None:
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"text_tokens": 5, "image_tokens": 15},
        "output_tokens": 40,
        "total_tokens": 60,
    }
    answer = {"created": 1, "data": [{"b64_json": b64encode(PNG).decode()}], "usage": usage}
    with (
        ReplayServer(Answer.json(answer)) as server,
        capture() as traces,
        openai.OpenAI(base_url=server.url + "/v1", api_key="k") as client,
    ):
        client.images.edit(
            model="gpt-image-1",
            image=[("a.png", PNG), ("b.png", PNG + b"b")],
            mask=("mask.png", PNG + b"m"),
            prompt="Remove the chair.",
            n=2,
        )
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.request.choice.count"] == 2
    prompt, *images = _parts(span, "gen_ai.input.messages")
    assert prompt["content"] == "Remove the chair."
    assert [image["sha256"] for image in images] == [
        hashlib.sha256(PNG + end).hexdigest() for end in (b"", b"b", b"m")
    ]
    assert all(image["modality"] == "image" for image in images)
    assert _usage(span) == {
        "input_tokens": 20, "output_tokens": 40, "text.input_tokens": 5, "image.input_tokens": 15
    }  # fmt: skip


def test_an_edit_as_json() -> None:
    with ReplayServer(Answer.json({"created": 1, "data": []})) as server, capture() as traces:
        body = {"model": "gpt-image-1", "prompt": "Again", "images": [{"file_id": "file-1"}]}
        httpx.post(server.url + "/v1/images/edits", json=body)
    (span,) = traces.snapshot()
    assert _parts(span, "gen_ai.input.messages")[1]["file_id"] == "file-1"


def test_images_by_piece_have_quality_and_size_as_their_tier() -> None:
    answer = {"created": 1, "data": [{"url": "https://a.example/1"}, {"url": "https://a.example/2"}]}
    with ReplayServer(Answer.json(answer)) as server, capture() as traces:
        for model in ("dall-e-3", "gpt-image-1"):
            body = {"model": model, "prompt": "A cat", "quality": "hd", "size": "1024x1792"}
            httpx.post(server.url + "/v1/images/generations", json=body)
    pieces, tokens = traces.snapshot()
    assert _usage(pieces) == {"generated_images": 2}
    assert pieces["attributes"]["llmtrace.response.service_tier"] == "hd+1024x1792"
    assert _usage(tokens) == {}  # billed by tokens, which this answer does not tell


def test_moderation_says_what_was_flagged() -> None:
    categories = {"violence": True, "harassment": True, "hate": False}
    results = [{"flagged": True, "categories": categories}, {"flagged": False, "categories": {}}]
    answer = {"id": "modr-1", "model": "omni-moderation-latest", "results": results}
    parts: Any = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://a.example/1.png"}},
    ]
    with (
        ReplayServer(Answer.json(answer)) as server,
        capture() as traces,
        openai.OpenAI(base_url=server.url + "/v1", api_key="k") as client,
    ):
        client.moderations.create(model="omni-moderation-latest", input=parts)
    (span,) = traces.snapshot()
    assert span["name"] == "moderation omni-moderation-latest"
    assert [part["type"] for part in _parts(span, "gen_ai.input.messages")] == ["text", "uri"]
    assert [part["content"] for part in _parts(span)] == ["flagged: violence, harassment", "not flagged"]
    assert _usage(span) == {}


def _operations(traces: Captured) -> list[tuple[str, dict[str, int]]]:
    return [(span["attributes"]["gen_ai.operation.name"], _usage(span)) for span in traces.snapshot()]


def test_a_job_counts_what_it_trained_on_once() -> None:
    states = [job("validating_files"), job("queued"), job("running"), DONE, DONE]
    with (
        ReplayServer(*map(Answer.json, states)) as server,
        capture() as traces,
        openai.OpenAI(base_url=server.url + "/v1", api_key="k") as client,
    ):
        client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="file-abc")
        for _ in states[1:]:
            client.fine_tuning.jobs.retrieve("ftjob-1")
        server.answer_with(Answer.json({"data": [DONE, {**DONE, "id": "ftjob-2"}]}))
        client.fine_tuning.jobs.list()
        client.fine_tuning.jobs.list()
    assert sorted(_operations(traces), key=str) == [
        ("create_fine_tuning_job", {}),
        *[("fetch_response", {})] * 5,
        *[("fine_tuning", {"trained_tokens": 5049})] * 2,
    ]
    first = next(span for span in traces.snapshot() if _usage(span))
    assert first["name"] == "fine_tuning gpt-4o-mini-2024-07-18"
    attributes = first["attributes"]
    assert attributes["llmtrace.fine_tuning.job"] == "ftjob-1"
    assert attributes["llmtrace.fine_tuning.training_file"] == "file-abc"
    assert attributes["llmtrace.fine_tuning.dataset_version"] == "orders-7"
    assert attributes["llmtrace.fine_tuning.result_model"] == RESULT
    assert attributes["gen_ai.response.status"] == "succeeded"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_failed_before_it_trained_counts_nothing(status: str) -> None:
    with ReplayServer(Answer.json(job(status))) as server, capture() as traces:
        httpx.get(server.url + "/v1/fine_tuning/jobs/ftjob-1")
    assert _operations(traces) == [("fetch_response", {})]


def test_mistral_s_jobs() -> None:
    answer = {
        "id": "b1",
        "model": "open-mistral-7b",
        "status": "SUCCESS",
        "training_files": ["file-1", "file-2"],
        "fine_tuned_model": "ft:open-mistral-7b:abc",
        "trained_tokens": 700,
    }
    with ReplayServer(Answer.json(answer)) as server, capture() as traces:
        httpx.get(server.url + "/v1/fine_tuning/jobs/b1")
    (span,) = traces.snapshot()
    assert _usage(span) == {"trained_tokens": 700}
    assert span["attributes"]["llmtrace.fine_tuning.training_file"] == "file-1,file-2"


def test_events_and_checkpoints_are_no_calls() -> None:
    with ReplayServer(Answer.json({"data": []})) as server, capture() as traces:
        for end in ("events", "checkpoints"):
            httpx.get(f"{server.url}/v1/fine_tuning/jobs/ftjob-1/{end}")
    assert [span for span in traces.snapshot() if "gen_ai.operation.name" in span["attributes"]] == []


def _cached(url: str, *, is_async: bool) -> None:
    client = genai.Client(api_key="key", http_options=types.HttpOptions(base_url=url))
    config = types.CreateCachedContentConfig(
        contents=["A long text."], system_instruction="Be brief.", ttl="7200s"
    )
    if not is_async:
        client.caches.create(model="gemini-2.5-flash", config=config)
        client.caches.delete(name="cachedContents/abc")
        return

    async def run() -> None:
        await client.aio.caches.create(model="gemini-2.5-flash", config=config)
        await client.aio.caches.delete(name="cachedContents/abc")

    asyncio.run(run())


@pytest.mark.parametrize("is_async", [False, True])
def test_cached_contents_are_stored_until_they_expire(is_async: bool) -> None:
    with ReplayServer(Answer.json(CACHE), Answer.json({})) as server, capture() as traces:
        _cached(server.url, is_async=is_async)
    created, deleted = traces.snapshot()
    assert created["name"] == "cache_storage gemini-2.5-flash"
    assert _usage(created) == {"cache_storage_token_hours": 8192}
    assert created["attributes"]["llmtrace.cached_content.tokens"] == 4096
    assert created["attributes"]["llmtrace.cached_content.expires"] == CACHE["expireTime"]
    assert _parts(created, "gen_ai.input.messages")[0]["content"] == "A long text."
    assert created["attributes"]["llmtrace.cached_content.name"] == "cachedContents/abc"
    assert deleted["name"] == "delete_cached_content"
    assert deleted["attributes"]["llmtrace.cached_content.name"] == "cachedContents/abc"
    assert _usage(deleted) == {}


def test_vertex_bills_what_goes_into_a_cache_as_input() -> None:
    name = "projects/1/locations/us-central1/cachedContents/9"
    with ReplayServer(Answer.json({**CACHE, "name": name})) as server, capture() as traces:
        body = {"model": "projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash"}
        httpx.post(
            server.url + "/v1/projects/p/locations/us-central1/cachedContents",
            json={**body, "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        )
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.request.model"] == "gemini-2.5-flash"
    assert _usage(span) == {"cache_storage_token_hours": 8192, "input_tokens": 4096}


_EXCHANGES: list[tuple[str, str, Any, Any]] = [
    ("POST", "/v1/moderations", {"model": "m", "input": ["a", {"type": "text", "text": "b"}]},
     {"id": "1", "model": "m", "results": [{"flagged": True, "categories": {"hate": True}}], "usage": {}}),
    ("POST", "/v1/fine_tuning/jobs", {"model": "m", "training_file": "f", "metadata": {}}, DONE),
    ("GET", "/v1/fine_tuning/jobs/ftjob-1", None, DONE),
    ("GET", "/v1/fine_tuning/jobs", None, {"data": [DONE, job("running")]}),
    ("POST", "/v1beta/cachedContents", {"model": "models/m", "contents": [{"parts": [{}]}]}, CACHE),
    ("DELETE", "/v1beta/cachedContents/abc", None, {}),
    ("POST", "/v1/audio/speech", {"model": "m", "input": "a", "instructions": "b", "stream_format": "sse"},
     {"type": "speech.audio.done", "audio": "QUJD", "usage": {"input_tokens": 1}}),
    ("POST", "/v1/images/edits", {"model": "m", "prompt": "a", "images": [{"image_url": "b"}], "size": "c"},
     {"data": [{"url": "a"}], "usage": {}, "type": "image_edit.completed"}),
]  # fmt: skip
_FORMS: list[tuple[str, Any, Any]] = [
    ("/v1/audio/transcriptions",
     {"model": "m", "file": {"filename": "a", "content_type": "b", "data": b"c", "size": 1}, "prompt": "p"},
     {"text": "a", "duration": 1.5, "type": "transcript.text.done",
      "usage": {"seconds": 1, "input_tokens": 3, "input_token_details": {"audio_tokens": 3}}}),
    ("/v1/images/edits",
     {"model": "m", "image": [{"filename": "a", "content_type": "b", "data": None, "size": 1}], "n": "2"},
     {"data": [{"b64_json": "QUJD"}]}),
]  # fmt: skip


def test_odd_bodies() -> None:
    exchanges = [
        (registry.recognise(path, json.dumps(sent).encode() if sent else b"", method), path, sent, answer)
        for method, path, sent, answer in _EXCHANGES
    ]
    exchanges += [(registry.recognise_form(path), path, sent, answer) for path, sent, answer in _FORMS]
    for wire_format, path, sent, answer in exchanges:
        assert wire_format is not None, path
        bodies = [(replaced(sent, at, odd), answer) for at in pieces(sent) for odd in ODD]
        bodies += [(sent, replaced(answer, at, odd)) for at in pieces(answer) for odd in ODD]
        for request, response in bodies:
            translations = [wire_format.request(request, path, True)]
            for body in (response, wire_format.fold([response, response])):
                translations.append(wire_format.response(body, True))
                if wire_format.piece_usage is not None:
                    wire_format.piece_usage(request, body, {})
            for translation in translations:
                for value in translation.attributes.values():
                    assert isinstance(value, str | int | float | list)
                for messages in translation.content.values():
                    json.loads(render(without_media(messages, []), 10_000))
