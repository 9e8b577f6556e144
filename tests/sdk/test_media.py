"""Images, audio and files in messages: what is recorded of them, and what is sent where that is asked for."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmtrace
from llmtrace.common import media
from llmtrace.common.media import Media
from llmtrace.delivery.otlp_encoder import encode_logs
from llmtrace.testing import Answer, Captured, ReplayServer, capture
from llmtrace.wire.media_parts import without_media
from llmtrace.wire.registry import recognise

from .chat import PLAIN

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(range(255, -1, -1)) * 12
PDF = b"%PDF-1.7\n" + bytes(3000)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64(data)}"


def chat(*parts: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": [*parts]}]}


#: Path, body, and bytes and media type of what is in it, in order.
BODIES: dict[str, tuple[str, dict[str, Any], list[tuple[bytes, str | None]]]] = {
    "openai chat": (
        "/v1/chat/completions",
        chat(
            {"type": "image_url", "image_url": {"url": url(PNG, "image/png")}},
            {"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": url(PDF, "application/pdf")}},
        ),
        [(PNG, "image/png"), (WAV, "audio/wav"), (PDF, "application/pdf")],
    ),
    "openai responses": (
        "/v1/responses",
        {
            "model": "m",
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": url(PNG, "image/png")},
                        {"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "wav"}},
                        {"type": "input_file", "file_data": url(PDF, "application/pdf")},
                    ],
                },
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_image", "image_url": url(PNG, "image/png")}],
                },
            ],
        },
        [(PNG, "image/png"), (WAV, "audio/wav"), (PDF, "application/pdf"), (PNG, "image/png")],
    ),
    "anthropic": (
        "/v1/messages",
        {
            "max_tokens": 1,
            **chat(
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": b64(PNG)},
                },
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": b64(PDF)},
                },
                {
                    "type": "hologram",
                    "source": {"type": "base64", "media_type": "image/png", "data": b64(PNG[:80])},
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": b64(PNG)},
                        }
                    ],
                },
            ),
        },
        [(PNG, "image/png"), (PDF, "application/pdf"), (PNG[:80], "image/png"), (PNG, "image/png")],
    ),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"inlineData": {"mimeType": "image/png", "data": b64(PNG)}},
                        {
                            "inlineData": {
                                "mimeType": "audio/wav",
                                "data": base64.urlsafe_b64encode(WAV).decode().rstrip("="),
                            }
                        },
                        {"functionResponse": {"name": "f", "response": {"picture": b64(PNG)}}},
                    ],
                }
            ]
        },
        [(PNG, "image/png"), (WAV, "audio/wav"), (PNG, "image/png")],
    ),
    "bedrock": (
        "/model/m/converse",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"image": {"format": "png", "source": {"bytes": b64(PNG)}}},
                        {"document": {"format": "pdf", "name": "d", "source": {"bytes": b64(PDF)}}},
                        {
                            "toolResult": {
                                "toolUseId": "t",
                                "content": [{"image": {"format": "png", "source": {"bytes": b64(PNG[:80])}}}],
                            }
                        },
                    ],
                }
            ]
        },
        [(PNG, "image/png"), (PDF, "application/pdf"), (PNG[:80], "image/png")],
    ),
    "ollama": (
        "/api/chat",
        {"model": "m", "messages": [{"role": "user", "content": "look", "images": [b64(PNG)]}]},
        [(PNG, "image/png")],
    ),
    "a text": (
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": f"see ![x]({url(PNG, 'image/png')}) here"}]},
        [(PNG, "image/png")],
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_size_type_and_digest_stand_in_the_place_of_the_bytes(case: str) -> None:
    path, body, sent = BODIES[case]
    wire_format = recognise(path, json.dumps(body).encode())
    assert wire_format is not None
    attached: list[Media] = []
    content = without_media(wire_format.request(body, path, True).content["gen_ai.input.messages"], attached)
    assert [(item.data, item.media_type) for item in attached] == sent
    text = json.dumps(content)
    for data, kind in sent:
        assert b64(data)[100:160] not in text or len(data) < 100
        assert b64(data)[8:90] not in text
        assert hashlib.sha256(data).hexdigest() in text
        assert str(kind) in text
        assert f'"size": {len(data)}' in text or f"of {len(data)} bytes" in text
    assert len(text) < 1500


def test_a_large_picture_does_not_push_the_text_out(traces: Captured) -> None:
    picture, words = PNG * 1700, "words " * 20_000
    assert len(picture) > 5_000_000
    body = chat({"type": "image_url", "image_url": {"url": url(picture, "image/png")}}, {"type": "text"})
    body["messages"][0]["content"][1]["text"] = words
    with ReplayServer(PLAIN) as server:
        httpx.post(server.url + "/v1/chat/completions", json=body)
    (span,) = traces.snapshot()
    image, text = json.loads(span["attributes"]["gen_ai.input.messages"])[0]["parts"]
    assert text == {"type": "text", "content": words}
    assert image == {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "content": "",
        "size": len(picture),
        "sha256": hashlib.sha256(picture).hexdigest(),
    }
    assert traces.attachments() == [], "no bytes are sent unless that is asked for"


def attachments(traces: Captured) -> list[tuple[str, Any, Mapping[str, Any]]]:
    return [(record.event_name, record.body, record.attributes) for record in traces.attachments()]


def test_attachments_are_sent_once_for_each_trace_and_within_their_bound() -> None:
    body = chat(
        {"type": "image_url", "image_url": {"url": url(PNG, "image/png")}},
        {"type": "image_url", "image_url": {"url": url(PNG * 4, "image/png")}},
        {"type": "image_url", "image_url": {"url": url(b"<svg onload='x()'/>" * 9, "image/png")}},
        {"type": "file", "file": {"file_data": url(PDF, "application/pdf")}},
        {"type": "input_audio", "input_audio": {"data": b64(WAV), "format": "mp3"}},
    )
    with capture(attachment_bytes=len(PNG) + 100) as traces, ReplayServer(PLAIN) as server:
        with llmtrace.span("turns"):
            for _ in range(3):
                httpx.post(server.url + "/v1/chat/completions", json=body)
        with llmtrace.context(capture="none"):
            httpx.post(server.url + "/v1/chat/completions", json=body)
        sent = attachments(traces)
        assert [(name, data) for name, data, _ in sent] == [
            ("llmtrace.attachment", PNG),
            ("llmtrace.attachment", WAV),
        ]
        assert sent[1][2] == {
            "llmtrace.attachment.sha256": hashlib.sha256(WAV).hexdigest(),
            "llmtrace.attachment.media_type": "audio/wav",
            "llmtrace.attachment.size": len(WAV),
        }
        spans = traces.spans()
        first = next(span for span in spans if span.name.startswith("chat")).context
        assert first is not None
        record = traces.attachments()[0]
        assert (record.trace_id, record.span_id) == (first.trace_id, first.span_id)
        stats = llmtrace.stats()
        assert stats.generated == stats.sent == len(spans) + 2
        resource, scope = spans[0].resource, spans[0].instrumentation_scope
        assert scope is not None
        assert PNG in encode_logs([record], resource, scope, {}), "as bytes"


def test_attachments_of_traces_that_are_not_sampled_stay() -> None:
    body = chat({"type": "image_url", "image_url": {"url": url(PNG, "image/png")}})
    failed = Answer(status=400, body=b"{}")
    with (
        capture(attachment_bytes=2**20, sample_rate=0.0) as traces,
        ReplayServer(PLAIN, failed) as server,
    ):
        httpx.post(server.url + "/v1/chat/completions", json=body)
        assert attachments(traces) == []
        httpx.post(server.url + "/v1/chat/completions", json=body)
        assert [data for _, data, _ in attachments(traces)] == [PNG]


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_base64_in_every_spelling_is_the_same_bytes(data: bytes, url_safe: bool, padded: bool) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    attached = media.of_base64(text if padded else text.rstrip("="), "x/y")
    assert (attached.data, attached.size, attached.media_type) == (data, len(data), "x/y")
    assert media.of_base64(base64.encodebytes(data).decode()).data == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_is_no_media_stays_as_it_is(value: Any) -> None:
    attached: list[Media] = []
    assert without_media(value, attached) == value
    assert attached == []


def test_words_that_begin_like_base64_stay() -> None:
    text = "A" * 3000 + " and words"
    assert without_media(text, []) == text
    chinese = "漢字" * 3000
    assert without_media([chinese], []) == [chinese]
    broken = {"type": "blob", "modality": "image", "mime_type": None, "content": "no base64!"}
    assert without_media(broken, []) == {**broken, "content": "", "size": 7}
