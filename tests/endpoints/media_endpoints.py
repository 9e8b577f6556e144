"""Sound, images and moderation, by OpenAI's client: forms, and answers that are no JSON."""

from __future__ import annotations

import io
import wave
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import httpx
import openai

from llmtrace.testing import Answer, ReplayServer, sse

from .endpoint import Endpoint

PNG: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364600000000600023081d02f0000000049454e44ae426082"
)
_TOKENS: Final = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
    "output_tokens": 45,
    "total_tokens": 59,
}
_TRANSCRIPT: Final = {"text": "Where is my order?", "usage": _TOKENS}
_TRANSCRIPT_EVENTS: Final = (
    {"type": "transcript.text.delta", "delta": "Where is "},
    {"type": "transcript.text.delta", "delta": "my order?"},
    {"type": "transcript.text.done", **_TRANSCRIPT},
)
_SECONDS: Final = {"text": "Where is my order?", "usage": {"type": "duration", "seconds": 9}}
_VERBOSE: Final = {
    "task": "transcribe",
    "language": "english",
    "duration": 8.470000267028809,
    "text": "Where is my order?",
    "segments": [],
}
_IMAGE_USAGE: Final = {
    "input_tokens": 323,
    "input_tokens_details": {"text_tokens": 9, "image_tokens": 314},
    "output_tokens": 4160,
    "total_tokens": 4483,
}
_PICTURE: Final = b64encode(PNG).decode()
_IMAGES: Final = {"created": 1, "data": [{"b64_json": _PICTURE}], "usage": _IMAGE_USAGE}
_EDIT_EVENTS: Final = (
    {"type": "image_edit.partial_image", "partial_image_index": 0, "b64_json": _PICTURE},
    {
        "type": "image_edit.completed",
        "b64_json": _PICTURE,
        "created_at": 1,
        "output_format": "png",
        "usage": _IMAGE_USAGE,
    },
)
_JUDGED: Final = {
    "id": "modr-1",
    "model": "omni-moderation-latest",
    "results": [{"flagged": True, "categories": {"violence": True, "hate": False}, "category_scores": {}}],
}


def sound() -> bytes:
    """A tenth of a second of silence, as a file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(b"\0\0" * 1600)
    return file.getvalue()


def by_client(
    ask: Callable[[openai.OpenAI, bool], object],
    answer: Answer,
    events: Sequence[Any] | None = None,
    *,
    provider: str | None = None,
) -> Callable[[bool], None]:
    """A call by OpenAI's client, which is handed whether to stream. provider: who answers."""

    def send(stream: bool) -> None:
        reply = answer if events is None or not stream else sse(events, done=False)
        with (
            ReplayServer(reply, provider=provider) as server,
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client,
        ):
            ask(client, stream)

    return send


def _transcribed(**parameters: Any) -> Callable[[openai.OpenAI, bool], object]:
    def ask(client: openai.OpenAI, stream: bool) -> None:
        asked = {**parameters, "stream": True} if stream else parameters
        transcript: Any = client.audio.transcriptions.create(file=("order.wav", sound()), **asked)
        for _ in transcript if stream else ():
            pass

    return ask


def _translated(client: openai.OpenAI, stream: bool) -> object:
    return client.audio.translations.create(
        file=("order.wav", sound()), model="whisper-1", response_format="verbose_json"
    )


def _spoken(**parameters: Any) -> Callable[[openai.OpenAI, bool], object]:
    def ask(client: openai.OpenAI, stream: bool) -> None:
        asked: Mapping[str, Any] = {"voice": "alloy", "input": "Your order is on its way.", **parameters}
        if stream:
            with client.audio.speech.with_streaming_response.create(**asked) as response:
                for _ in response.iter_bytes():
                    pass
        else:
            client.audio.speech.create(**asked).read()

    return ask


def _edited(**parameters: Any) -> Callable[[openai.OpenAI, bool], object]:
    def ask(client: openai.OpenAI, stream: bool) -> None:
        asked = {**parameters, "stream": True} if stream else parameters
        edited: Any = client.images.edit(image=("room.png", PNG), prompt="Remove the chair.", **asked)
        for _ in edited if stream else ():
            pass

    return ask


def _varied(client: openai.OpenAI, stream: bool) -> object:
    return client.images.create_variation(image=("room.png", PNG), n=2, size="256x256", model="dall-e-2")


def _azure(stream: bool) -> None:
    path = "/openai/deployments/whisper/audio/transcriptions?api-version=2024-10-21"
    with ReplayServer(Answer.json(_VERBOSE)) as server, httpx.Client() as client:
        client.post(server.url + path, data={"response_format": "verbose_json"}, files={"file": sound()})


_SPEECH: Final = Answer(b"ID3" + b"\0" * 500, headers={"content-type": "audio/mpeg"})
_SUBTITLES: Final = Answer(
    b"1\n00:00:00,000 --> 00:00:02,000\nWhere is my order?\n", headers={"content-type": "text/plain"}
)
_SPEECH_EVENTS: Final = (
    {"type": "speech.audio.delta", "audio": b64encode(b"ID3" + b"\0" * 60).decode()},
    {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
    },
)
_CHARACTERS: Final = {"SpeechCharacters": len("Your order is on its way.")}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "audio transcriptions",
        "OpenAI",
        by_client(_transcribed(model="gpt-4o-transcribe"), Answer.json(_TRANSCRIPT), _TRANSCRIPT_EVENTS),
        spans=("transcription",),
        usage={"InputTokens": 14, "AudioInputTokens": 14, "OutputTokens": 45},
        price="listed",
        streams=True,
        source="client",
    ),
    Endpoint(
        "audio transcriptions, by the second",
        "OpenAI",
        by_client(_transcribed(model="whisper-1"), Answer.json(_SECONDS)),
        spans=("transcription",),
        usage={"AudioInputSeconds": 9},
        price="listed",
        source="client",
    ),
    Endpoint(
        "audio transcriptions as text or subtitles",
        "OpenAI",
        by_client(_transcribed(model="whisper-1", response_format="srt"), _SUBTITLES),
        spans=("transcription",),
        price="unpriced",
        source="client",
        remark="the answer tells no usage: ask for `json` or `verbose_json`",
    ),
    Endpoint(
        "audio transcriptions",
        "Azure OpenAI",
        _azure,
        spans=("transcription",),
        usage={"AudioInputSeconds": 9},
        price="unpriced",
        remark="a deployment's name is in no list: set its price",
    ),
    Endpoint(
        "audio transcriptions",
        "Groq",
        by_client(
            _transcribed(model="whisper-large-v3", response_format="verbose_json"),
            Answer.json(_VERBOSE),
            provider="groq",
        ),
        spans=("transcription",),
        usage={"AudioInputSeconds": 9},
        price="listed",
        remark="as `json` the answer tells no usage, and is unpriced",
    ),
    Endpoint(
        "audio transcriptions",
        "Mistral",
        by_client(
            _transcribed(model="voxtral-mini-2602"),
            Answer.json(
                {
                    "model": "voxtral-mini-2602",
                    "text": "Where is my order?",
                    "usage": {
                        "prompt_audio_seconds": 9,
                        "prompt_tokens": 4,
                        "completion_tokens": 6,
                        "total_tokens": 123,
                    },
                }
            ),
            provider="mistral_ai",
        ),
        spans=("transcription",),
        usage={"InputTokens": 4, "OutputTokens": 6, "AudioInputSeconds": 9},
        price="listed",
    ),
    Endpoint(
        "audio translations",
        "OpenAI",
        by_client(_translated, Answer.json({**_VERBOSE, "task": "translate"})),
        spans=("translation",),
        usage={"AudioInputSeconds": 9},
        price="listed",
        source="client",
    ),
    Endpoint(
        "audio speech, by the character",
        "OpenAI",
        by_client(_spoken(model="tts-1"), _SPEECH),
        spans=("speech",),
        usage=_CHARACTERS,
        price="listed",
        streams=True,
        source="client",
    ),
    Endpoint(
        "audio speech as events",
        "OpenAI",
        by_client(_spoken(model="gpt-4o-mini-tts", stream_format="sse"), sse(_SPEECH_EVENTS, done=False)),
        spans=("speech",),
        usage={"InputTokens": 14, "OutputTokens": 101},
        price="listed",
        streams=True,
        source="client",
    ),
    Endpoint(
        "audio speech as sound, by tokens",
        "OpenAI",
        by_client(_spoken(model="gpt-4o-mini-tts"), _SPEECH),
        spans=("speech",),
        price="unpriced",
        streams=True,
        source="client",
        remark='the answer tells no usage: ask with `stream_format="sse"`',
    ),
    Endpoint(
        "audio speech",
        "Groq",
        by_client(_spoken(model="canopylabs/orpheus-v1-english"), _SPEECH, provider="groq"),
        spans=("speech",),
        usage=_CHARACTERS,
        price="listed",
        streams=True,
    ),
    Endpoint(
        "image edits",
        "OpenAI",
        by_client(_edited(model="gpt-image-1"), Answer.json(_IMAGES), _EDIT_EVENTS),
        spans=("generate_content",),
        usage={"InputTokens": 323, "ImageInputTokens": 314, "OutputTokens": 4160},
        price="listed",
        streams=True,
        source="client",
    ),
    Endpoint(
        "image edits, by the image",
        "OpenAI",
        by_client(
            _edited(model="dall-e-2", size="256x256"),
            Answer.json({"created": 1, "data": [{"url": "https://images.example/1.png"}]}),
        ),
        spans=("generate_content",),
        usage={"GeneratedImages": 1},
        price="unpriced",
        source="client",
        remark="set a price `per_generated_image` for each size and quality, which stand as the tier",
    ),
    Endpoint(
        "image variations",
        "OpenAI",
        by_client(
            _varied,
            Answer.json({"created": 1, "data": [{"b64_json": _PICTURE}, {"b64_json": _PICTURE}]}),
        ),
        spans=("generate_content",),
        usage={"GeneratedImages": 2},
        price="unpriced",
        source="client",
        remark="as image edits by the image",
    ),
    Endpoint(
        "moderations",
        "OpenAI",
        by_client(
            lambda client, stream: client.moderations.create(
                model="omni-moderation-latest", input="I want to hurt them."
            ),
            Answer.json(_JUDGED),
        ),
        spans=("moderation",),
        price="listed",
        source="client",
        remark="free: a call that costs 0",
    ),
    Endpoint(
        "moderations",
        "Mistral",
        by_client(
            lambda client, stream: client.moderations.create(
                model="mistral-moderation-latest", input="I want to hurt them."
            ),
            Answer.json(
                {
                    **_JUDGED,
                    "model": "mistral-moderation-2411",
                    "usage": {"prompt_tokens": 9, "total_tokens": 70, "completion_tokens": 0},
                }
            ),
            provider="mistral_ai",
        ),
        spans=("moderation",),
        usage={"InputTokens": 9},
        price="unpriced",
    ),
)
