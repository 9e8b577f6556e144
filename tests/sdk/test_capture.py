"""The setting `capture`: what each of its words records, and who has the last one."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import httpx
import pytest

import llmtrace
from llmtrace.config import resolve
from llmtrace.setting_values import ConfigError
from llmtrace.spans.capture_level import CAPTURES
from llmtrace.testing import ReplayServer, capture

from .chat import PLAIN, REQUEST

MESSAGES = {"messages", "tool", "asked", "block", "query"}
RECORDED = {"none": set(), "messages": MESSAGES, "all": MESSAGES | {"observed", "agent", "text"}}


@llmtrace.observe
def observed(secret: str) -> str:
    return "observed result"


@llmtrace.observe(capture_args=True, capture_result=True)
def asked(secret: str) -> str:
    return "asked result"


@llmtrace.observe(capture_args=False, capture_result=False)
def never(secret: str) -> str:
    return "never result"


@llmtrace.agent
def agent(secret: str) -> str:
    return "agent result"


@llmtrace.tool
def tool(secret: str) -> str:
    return "tool result"


@llmtrace.retrieval
def search(query: str) -> list[dict[str, Any]]:
    return [{"id": "found id", "text": "text result"}]


def program(url: str) -> None:
    observed("observed argument")
    asked("asked argument")
    never("never argument")
    agent("agent argument")
    tool("tool argument")
    search("query argument")
    with llmtrace.span("block") as span:
        span.set_input("block argument")
        span.set_output("block result")
    httpx.post(url + "/v1/chat/completions", json=REQUEST)


def words(recorded: str) -> set[str]:
    """The kinds of content that a recording holds, each whole or not at all."""
    kinds = set()
    for kind in ("observed", "asked", "never", "agent", "tool", "block"):
        if f"{kind} argument" in recorded or f"{kind} result" in recorded:
            assert f"{kind} argument" in recorded
            assert f"{kind} result" in recorded
            kinds.add(kind)
    marks = {"query": "query argument", "text": "text result", "messages": "gen_ai.input.messages"}
    return kinds | {kind for kind, mark in marks.items() if mark in recorded}


@pytest.mark.parametrize("word", CAPTURES)
def test_what_each_word_records(word: str) -> None:
    with capture(capture=word) as traces, ReplayServer(PLAIN) as server:
        program(server.url)
        assert words(str(traces.snapshot())) == RECORDED[word]
    with capture(capture="none" if word == "all" else "all") as traces, ReplayServer(PLAIN) as server:
        with llmtrace.context(capture=word):  # type: ignore[arg-type]  # each of them
            program(server.url)
        assert words(str(traces.snapshot())) == RECORDED[word], "a block goes before the setting"


def test_the_former_setting_says_the_same() -> None:
    for flag, word in ((True, "messages"), (False, "none")):
        assert resolve(environ={}, capture_content=flag).capture == word
        assert resolve(environ={"LLMTRACE_CAPTURE_CONTENT": str(flag)}).capture == word
        with capture(capture_content=flag) as traces, ReplayServer(PLAIN) as server:
            program(server.url)
            assert words(str(traces.snapshot())) == RECORDED[word]
        with capture(capture="all") as traces, ReplayServer(PLAIN) as server:
            with llmtrace.context(capture_content=flag):
                program(server.url)
            assert words(str(traces.snapshot())) == RECORDED[word]


@pytest.mark.parametrize(
    ("arguments", "environ", "word"),
    [
        ({}, {}, "messages"),
        ({"capture": "all", "capture_content": False}, {}, "all"),
        ({"capture_content": False}, {"LLMTRACE_CAPTURE": "all"}, "none"),
        ({"capture_content": True}, {"LLMTRACE_CAPTURE": "none"}, "messages"),
        ({}, {"LLMTRACE_CAPTURE": "all", "LLMTRACE_CAPTURE_CONTENT": "0"}, "all"),
        ({"capture": "none"}, {"LLMTRACE_CAPTURE": "all"}, "none"),
    ],
)
def test_which_of_both_settings_holds(arguments: Any, environ: Any, word: str) -> None:
    config = resolve(environ=environ, **arguments)
    assert (config.capture, config.capture_content) == (word, word != "none")


def test_a_word_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="use 'all', 'messages' or 'none'"):
        resolve(environ={}, capture="everything")
    with pytest.raises(ConfigError, match="at most 8388608"):
        resolve(environ={}, attachment_bytes=2**23 + 1)


@pytest.mark.parametrize(("own", "around"), [*itertools.product([None, *CAPTURES], CAPTURES)])
def test_a_function_has_its_own_word_but_none_is_none(own: Any, around: Any) -> None:
    @llmtrace.observe(capture=own)
    def function(secret: str) -> str:
        return "a result"

    with capture(capture=around) as traces:
        function("an argument")
        attributes = traces.snapshot()[0]["attributes"]
    held = around if own is None or around == "none" else own
    assert ("llmtrace.function.arguments" in attributes) == (held == "all")
    assert ("llmtrace.function.result" in attributes) == (held == "all")


def test_a_misspelt_word_records_nothing_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    word: Any = "nothing"
    with caplog.at_level(logging.WARNING), capture(capture="all") as traces:

        @llmtrace.tool(capture=word)
        def hidden(secret: str) -> str:
            return "hidden result"

        hidden("hidden argument")
        with llmtrace.context(capture=word):
            observed("observed argument")
        assert "hidden" not in str(
            [span["attributes"].get("gen_ai.tool.call.result") for span in traces.snapshot()]
        )
        assert "argument" not in str(traces.snapshot())
    assert [record for record in caplog.records if "capture='nothing'" in record.getMessage()]
