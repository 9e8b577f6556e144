"""Our own failures: the program is unaffected, the log says it once, strict mode raises."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, NoReturn

import httpx
import openai
import pytest

import llmtrace
from llmtrace.capture import call, received_body
from llmtrace.delivery import queue
from llmtrace.testing import ReplayServer, capture
from llmtrace.wire import registry

from .chat import PLAIN, REQUEST, STREAM


def _broken(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError("ours")


def _use(url: str) -> list[Any]:
    client = openai.OpenAI(base_url=url + "/v1", api_key="k", max_retries=0)
    return [
        client.chat.completions.create(**REQUEST).model_dump(),
        [chunk.model_dump() for chunk in client.chat.completions.create(**REQUEST, stream=True)],
    ]


def _break_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "FORMATS", (replace(registry.FORMATS[0], request=_broken),))


def _break_response(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "FORMATS", (replace(registry.FORMATS[0], response=_broken, fold=_broken),))


def _break_matches(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(registry, "FORMATS", (replace(registry.FORMATS[0], matches=_broken),))


def _break_begin(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call.LlmCall, "__init__", _broken)


def _break_receive(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call.LlmCall, "receive", _broken)


def _break_chunk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(received_body.ReceivedBody, "add", _broken)


def _break_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call.LlmCall, "end", _broken)


def _break_queue(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(queue.DeliveryWorker, "submit_call", _broken)


BREAKS = [
    _break_request,
    _break_response,
    _break_matches,
    _break_begin,
    _break_receive,
    _break_chunk,
    _break_end,
    _break_queue,
]


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__[1:])
def test_the_program_is_unaffected(
    damage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LLMTRACE_STRICT", "0")
    answers = (PLAIN, STREAM) * 3
    with ReplayServer(*answers, provider="openai") as server:  # which does not use what is broken
        bare = _use(server.url)
        with capture() as traces, caplog.at_level(logging.ERROR, "llmtrace"):
            damage(monkeypatch)
            assert _use(server.url) == bare
            assert _use(server.url) == bare
            llmtrace.flush()
            spans = traces.snapshot()
            assert sum(llmtrace.internal_errors.failures().values()) >= 2
    kinds = [record.getMessage().partition(" (")[0] for record in caplog.records if record.name == "llmtrace"]
    assert kinds
    assert len(kinds) == len(set(kinds))
    if damage in {_break_request, _break_response}:
        assert len(spans) == 4
        assert {span["attributes"]["http.response.status_code"] for span in spans} == {200}


def test_strict_mode_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplayServer(PLAIN, provider="openai") as server, capture():
        _break_matches(monkeypatch)
        with pytest.raises(RuntimeError, match="ours"):
            httpx.post(server.url + "/v1/chat/completions", json=REQUEST)


def test_init_never_raises(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("LLMTRACE_STRICT", "0")
    llmtrace.init(endpoint="not a url")
    assert "use a URL such as http://127.0.0.1:4318" in caplog.text
    assert llmtrace.flush()
    assert llmtrace.stats() == llmtrace.Stats()
    with llmtrace.context(user_id="u"):
        llmtrace.score("fine", 1)
    monkeypatch.setenv("LLMTRACE_STRICT", "1")
    with pytest.raises(ValueError, match="not a url"):
        llmtrace.init(endpoint="not a url")
