"""What led to a response of OpenAI Realtime, as messages: items, and what the user said in the meantime."""

from __future__ import annotations

from typing import Any, Final

from llmtrace.wire import message_parts
from llmtrace.wire.format import Json, mapping, word
from llmtrace.wire.openai import response_items

from .session_frames import MEDIA, Frames

_COMMITTED: Final = "input_audio_buffer.committed"
_STARTED: Final = "input_audio_buffer.speech_started"
_STOPPED: Final = "input_audio_buffer.speech_stopped"
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
_AUDIO: Final = frozenset({"audio", "output_audio"})
_TELEPHONE: Final = ("pcmu", "pcma", "g711")
_TELEPHONE_RATE: Final = 8_000
_USUAL_RATE: Final = 24_000
"""Samples a second; one of PCM has two bytes."""


def messages(frames: Frames, session: Any, asked: Any) -> list[Json]:
    """Messages of the user and answers of tools since the last response, or what the response was asked with.

    session, asked: the session, and the parameters of `response.create`.
    """
    if isinstance(asked.get("input"), list):
        return [message for value in asked["input"] for message in of_item(value)]
    spoken = _Spoken(frames, session)
    collected: list[Json] = []
    for frame in frames.messages:
        kind = word(frame, "type")
        if kind == "conversation.item.create":
            collected.extend(of_item(frame.get("item")))
        elif kind == _COMMITTED:
            collected.append(message_parts.message("user", spoken.parts(word(frame, "item_id"))))
        elif kind == MEDIA:
            spoken.sent_bytes = frame.get("size")
    return collected


def of_item(value: Json) -> list[Json]:
    """The messages of one item of a conversation."""
    return response_items.messages([transcribed(value)])


def transcribed(value: Json) -> Json:
    """An item as the Responses API has it: sound stays where it was sent, and its transcript is a text."""
    item = mapping(value)
    content = item.get("content")
    if not isinstance(content, list):
        return item
    return {**item, "content": [part for raw_part in content for part in _parts(mapping(raw_part))]}


def _parts(part: Any) -> list[Json]:
    kind, transcript = word(part, "type"), part.get("transcript")
    words: list[Json] = [{"type": "output_text", "text": transcript}] if transcript else []
    if kind in _AUDIO:
        return words
    if kind == "input_audio":
        sound = [{"type": "input_audio", "data": part["audio"]}] if part.get("audio") else []
        return [*sound, *words]
    return [part]


class _Spoken:
    """What is known of sound that was sent in pieces: `sent_bytes` since the last message of it."""

    def __init__(self, frames: Frames, session: Any) -> None:
        self.sent_bytes: Json = None
        self._times: dict[str, dict[str, Json]] = {}
        self._transcripts: dict[str, Json] = {}
        for frame in frames.messages:
            kind, item_id = word(frame, "type"), word(frame, "item_id")
            if kind in {_STARTED, _STOPPED}:
                self._times.setdefault(item_id, {}).update(frame)
            elif kind == _TRANSCRIBED:
                self._transcripts[item_id] = frame.get("transcript")
        sent = mapping(mapping(mapping(session.get("audio")).get("input")).get("format"))
        self._format = word(sent, "type") or word(session, "input_audio_format") or "audio/pcm"
        rate = sent.get("rate")
        self._rate = rate if type(rate) is int and rate > 0 else _USUAL_RATE

    def parts(self, item_id: str) -> list[Json]:
        """Of a message that the user spoke: how long it is, and its transcript where that came."""
        size, self.sent_bytes = self.sent_bytes, None
        part: dict[str, Json] = {"type": "blob", "modality": "audio", "mime_type": self._mime_type()}
        seconds = self._seconds(item_id, size)
        if type(size) is int:
            part["size"] = size
        if seconds is not None:
            part["seconds"] = seconds
        transcript = self._transcripts.get(item_id)
        return [part, message_parts.text(transcript)] if isinstance(transcript, str) else [part]

    def _mime_type(self) -> str:
        return self._format if "/" in self._format else f"audio/{self._format}"

    def _seconds(self, item_id: str, size: Json) -> float | None:
        """By the clock of who listens for speech; else by the bytes, where they are samples."""
        times = self._times.get(item_id, {})
        began, ended = times.get("audio_start_ms"), times.get("audio_end_ms")
        if type(began) is int and type(ended) is int:
            return (ended - began) / 1000
        if type(size) is not int:
            return None
        if any(mark in self._format for mark in _TELEPHONE):
            return round(size / _TELEPHONE_RATE, 3)
        return round(size / (2 * self._rate), 3) if "pcm" in self._format else None
