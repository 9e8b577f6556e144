"""Uploads as multipart forms: recognised by path and first fields, read later, and never as content."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2
import openai
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from llmtrace.capture.streamed_request import _MOST_BYTES, StreamedBody
from llmtrace.testing import Answer, ReplayServer, capture, sse
from llmtrace.wire import registry
from llmtrace.wire.framing import multipart

PATH = "/v1/audio/transcriptions"
SOUND = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(range(256)) * 40
FIELDS = {"model": "whisper-1", "prompt": "Umlauts: äöü", "temperature": "0.5"}
ANSWER = Answer.json({"text": "Hello.", "usage": {"type": "duration", "seconds": 3}})


def _encoded(fields: dict[str, str], name: str, data: bytes) -> tuple[bytes, str]:
    body, kind = urllib3.encode_multipart_formdata({**fields, name: ("a.wav", data, "audio/wav")})
    return body, kind


def _httpx(module: Any, url: str) -> None:
    module.post(url, data=FIELDS, files={"file": ("a.wav", io.BytesIO(SOUND), "audio/wav")})


def _httpx_async(module: Any, url: str) -> None:
    async def run() -> None:
        async with module.AsyncClient() as client:
            await client.post(url, data=FIELDS, files={"file": ("a.wav", SOUND, "audio/wav")})

    asyncio.run(run())


def _aiohttp(url: str, *, file_first: bool, from_disk: Path | None = None) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            form = aiohttp.FormData()
            fields = list(FIELDS.items())
            for name, value in () if file_first else fields:
                form.add_field(name, value)
            data = SOUND if from_disk is None else from_disk.open("rb")
            form.add_field("file", data, filename="a.wav", content_type="audio/wav")
            for name, value in fields if file_first else ():
                form.add_field(name, value)
            async with session.post(url, data=form) as response:
                assert (await response.json())["text"] == "Hello."

    asyncio.run(run())


def _aiohttp_writer(url: str) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            with aiohttp.MultipartWriter("form-data") as writer:
                for name, value in FIELDS.items():
                    writer.append(value).set_content_disposition("form-data", name=name)
                part = writer.append(SOUND, {"content-type": "audio/wav"})
                part.set_content_disposition("form-data", name="file", filename="a.wav")
            async with session.post(url, data=writer) as response:
                await response.read()

    asyncio.run(run())


def _http_client(url: str) -> None:
    body, kind = _encoded(FIELDS, "file", SOUND)
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
    connection.request("POST", parts.path, body, {"content-type": kind})
    connection.getresponse().read()
    connection.close()


def _urllib(url: str) -> None:
    body, kind = _encoded(FIELDS, "file", SOUND)
    with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": kind})) as response:
        response.read()


def _openai(url: str) -> None:
    with openai.OpenAI(base_url=url.removesuffix("/audio/transcriptions"), api_key="k") as client:
        client.audio.transcriptions.create(
            file=("a.wav", SOUND, "audio/wav"), model="whisper-1", prompt=FIELDS["prompt"], temperature=0.5
        )


def _openai_async(url: str) -> None:
    async def run() -> None:
        base = url.removesuffix("/audio/transcriptions")
        async with openai.AsyncOpenAI(base_url=base, api_key="k") as client:
            await client.audio.transcriptions.create(
                file=("a.wav", SOUND, "audio/wav"),
                model="whisper-1",
                prompt=FIELDS["prompt"],
                temperature=0.5,
            )

    asyncio.run(run())


CLIENTS: dict[str, Callable[[str], object]] = {
    "httpx": lambda url: _httpx(httpx, url),
    "httpx-async": lambda url: _httpx_async(httpx, url),
    "httpx2": lambda url: _httpx(httpx2, url),
    "httpx2-async": lambda url: _httpx_async(httpx2, url),
    "requests": lambda url: (
        requests.post(url, data=FIELDS, files={"file": ("a.wav", io.BytesIO(SOUND), "audio/wav")}, timeout=30)
        and None
    ),
    "urllib3": lambda url: (
        urllib3.PoolManager().request("POST", url, fields={**FIELDS, "file": ("a.wav", SOUND, "audio/wav")})
        and None
    ),
    "aiohttp": lambda url: _aiohttp(url, file_first=False),
    "aiohttp-file-first": lambda url: _aiohttp(url, file_first=True),
    "aiohttp-writer": _aiohttp_writer,
    "http.client": _http_client,
    "urllib": _urllib,
    "openai": _openai,
    "openai-async": _openai_async,
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_every_client(client: Callable[[str], object]) -> None:
    with ReplayServer(ANSWER) as server, capture() as traces:
        client(server.url + PATH)
    assert b"RIFF" in server.requests[0].body  # it went out as it was
    assert multipart.fields(server.requests[0].body) is not None
    (span,) = traces.snapshot()
    attributes = span["attributes"]
    assert attributes["gen_ai.operation.name"] == "transcription"
    assert attributes["gen_ai.request.model"] == "whisper-1"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["llmtrace.usage.audio_input_seconds"] == 3
    (message,) = json.loads(attributes["gen_ai.input.messages"])
    sound, prompt = message["parts"]
    assert prompt["content"] == FIELDS["prompt"]
    assert (sound["mime_type"], sound["content"], sound["size"]) == ("audio/wav", "", len(SOUND))
    assert sound["sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert json.loads(attributes["gen_ai.output.messages"])[0]["parts"] == [
        {"type": "text", "content": "Hello."}
    ]


def test_a_file_from_disk_by_aiohttp(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(SOUND * 50)
    with ReplayServer(ANSWER) as server, capture() as traces:
        _aiohttp(server.url + PATH, file_first=True, from_disk=file)
    (span,) = traces.snapshot()
    (message,) = json.loads(span["attributes"]["gen_ai.input.messages"])
    assert message["parts"][0]["sha256"] == hashlib.sha256(SOUND * 50).hexdigest()
    assert span["attributes"]["gen_ai.request.model"] == "whisper-1"


def test_forms_that_are_no_call() -> None:
    with ReplayServer(Answer.json({"id": "file-1"})) as server, capture() as traces:
        httpx.post(server.url + "/v1/files", data={"purpose": "batch"}, files={"file": SOUND})
        # A form at a chat's path, whose fields are named as a chat's are.
        httpx.post(server.url + "/v1/chat/completions", files={"model": (None, "m"), "messages": (None, "x")})
        # No form at a form's path.
        httpx.post(server.url + PATH, data={"file": "x", "model": "m"})
        httpx.post(server.url + PATH, json={"file": "x", "model": "m"})
    assert [span for span in traces.snapshot() if "gen_ai.operation.name" in span["attributes"]] == []


def test_a_file_beyond_the_bound_leaves_the_fields_that_follow() -> None:
    size = _MOST_BYTES + 3_000_000
    body, _ = _encoded({}, "file", bytes(size))
    boundary = body[: body.index(b"\r\n")]
    last = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    whole = body[: -len(boundary) - 4] + boundary + last + boundary + b"--\r\n"
    streamed = StreamedBody()
    for at in range(0, len(whole), 65536):
        streamed.add(whole[at : at + 65536])
    assert streamed.size < _MOST_BYTES + 300_000
    fields = multipart.fields(streamed.whole())
    assert fields is not None
    assert fields["model"] == "whisper-1"
    assert (fields["file"]["size"], fields["file"]["data"]) == (size, None)
    translation = registry.FORMATS[[f.operation for f in registry.FORMATS].index("transcription")].request(
        fields, PATH, True
    )
    assert translation.content["gen_ai.input.messages"][0]["parts"][0]["size"] == size


_NAMES = st.text("abcdefgh[]_", min_size=1, max_size=8).filter(lambda name: name != "[]")
_VALUES = st.one_of(st.text(max_size=40), st.binary(max_size=200))


@given(st.lists(st.tuples(_NAMES, _VALUES), min_size=1, max_size=6))
def test_what_a_client_encodes_is_read_back(pairs: list[tuple[str, str | bytes]]) -> None:
    fields = [
        (name, value if isinstance(value, str) else ("name.bin", value, "application/octet-stream"))
        for name, value in pairs
    ]
    body, _ = urllib3.encode_multipart_formdata(fields)
    assert multipart.is_form(body)
    expected: dict[str, list[str | bytes]] = {}
    for name, value in pairs:
        expected.setdefault(name.removesuffix("[]"), []).append(value)
    decoded = multipart.fields(body)
    assert decoded is not None
    if len({name.removesuffix("[]") for name, _ in pairs}) == len({name for name, _ in pairs}):
        for name, values in expected.items():
            got = decoded[name]
            listed = got if isinstance(got, list) else [got]
            assert [item["data"] if isinstance(item, dict) else item for item in listed] == values


@given(st.binary(max_size=300), st.integers(0, 400))
def test_torn_and_odd_forms(noise: bytes, at: int) -> None:
    body, _ = _encoded(FIELDS, "file", SOUND[:100])
    for form in (body[:at], body[:at] + noise + body[at:], b"--" + noise):
        fields = multipart.fields(form)
        assert fields is None or isinstance(fields, dict)


def test_what_was_uploaded_is_sent_where_that_is_asked_for() -> None:
    with ReplayServer(ANSWER) as server, capture(attachment_bytes=10**6) as traces:
        _httpx(httpx, server.url + PATH)
        assert [record.body for record in traces.attachments()] == [SOUND]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain; charset=utf-8", "Hello.\n"),
        ("text/vtt", "WEBVTT\n\n00:00.000 --> 00:01.000\nHello.\n"),
        ("application/x-subrip", "1\n00:00:00,000 --> 00:00:01,000\nHello.\n"),
    ],
)
def test_transcripts_that_are_no_json(kind: str, body: str) -> None:
    with ReplayServer(Answer(body.encode(), headers={"content-type": kind})) as server, capture() as traces:
        _httpx(httpx, server.url + PATH)
    (span,) = traces.snapshot()
    assert json.loads(span["attributes"]["gen_ai.output.messages"])[0]["parts"][0]["content"] == body
    assert not any(".usage." in name for name in span["attributes"])


def test_a_failed_upload_says_why() -> None:
    error = Answer.json({"error": {"message": "Unsupported file", "type": "invalid_request_error"}}, 400)
    with ReplayServer(error) as server, capture() as traces:
        _httpx(httpx, server.url + PATH)
    (span,) = traces.snapshot()
    assert span["attributes"]["error.type"] == "invalid_request_error"
    assert "gen_ai.output.messages" not in span["attributes"]


def test_no_content_of_an_upload_where_none_is_wanted() -> None:
    with ReplayServer(ANSWER) as server, capture(capture_content=False) as traces:
        _httpx(httpx, server.url + PATH)
    (span,) = traces.snapshot()
    assert span["attributes"]["gen_ai.request.model"] == "whisper-1"
    assert "gen_ai.input.messages" not in span["attributes"]


def test_a_streamed_transcript_is_the_whole_one() -> None:
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 4, "total_tokens": 18}
    usage = {**usage, "input_token_details": {"text_tokens": 2, "audio_tokens": 12}}
    events = [
        {"type": "transcript.text.delta", "delta": "Hel"},
        {"type": "transcript.text.delta", "delta": "lo."},
        {"type": "transcript.text.done", "text": "Hello.", "usage": usage},
    ]
    spans = []
    for answer in (Answer.json({"text": "Hello.", "usage": usage}), sse(events, done=False)):
        with ReplayServer(answer) as server, capture() as traces:
            _httpx(httpx, server.url + PATH)
        spans += traces.snapshot()
    whole, streamed = (
        {
            name: value
            for name, value in span["attributes"].items()
            if "usage" in name or name == "gen_ai.output.messages"
        }
        for span in spans
    )
    assert whole == streamed
    assert whole["gen_ai.usage.audio.input_tokens"] == 12
    assert spans[1]["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]
