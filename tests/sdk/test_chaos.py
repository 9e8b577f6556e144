"""Every internal function made to raise in turn: the program must not notice."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import pkgutil
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any, NoReturn

import httpx
import pytest
import requests

import llmtrace
from llmtrace.api import lifecycle
from llmtrace.testing import ReplayServer

from .chat import PLAIN, REQUEST, STREAM

# What stands in the caller's place: the public functions themselves, and what passes a stream's bytes on.
_PASSAGES = {"httpx_streams", "testing", "py.typed"}
_PUBLIC = set(llmtrace.__all__) | {"start", "start_once"}
_LAST_RESORT = {"report", "configure", "warn_once", "failures"}


def _modules() -> list[Any]:
    names = [module.name for module in pkgutil.walk_packages(llmtrace.__path__, "llmtrace.")]
    return [importlib.import_module(name) for name in names if not _PASSAGES & set(name.split("."))]


def _targets() -> Iterator[tuple[str, Any, str, Any]]:
    """(label, owner, name, function) of everything that can be replaced."""
    for module in _modules():
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if isinstance(value, FunctionType) and name not in _PUBLIC | _LAST_RESORT:
                yield f"{module.__name__}.{name}", module, name, value
            elif inspect.isclass(value) and not name.startswith("_Response") and name not in {"_Content"}:
                for method, function in list(vars(value).items()):
                    if isinstance(function, FunctionType) and not method.startswith("__dataclass"):
                        yield f"{module.__name__}.{name}.{method}", value, method, function


TARGETS = {label: (owner, name, function) for label, owner, name, function in _targets()}
# What runs the program's own code inside, or only reports the failures of another function here:
# raising there is raising in the program. Each is short enough to be read.
_FRAMES = {
    *(
        f"llmtrace.spans.context_attributes.context.__{name}__"
        for name in ("aenter", "aexit", "enter", "exit", "init")
    ),
    "llmtrace.spans.context_attributes._Entered.__init__",
    "llmtrace.spans.thread_context.OpenBlock.__init__",
    "llmtrace.spans.sampling.SampleRule.__init__",
    "llmtrace.delivery.stats.Stats.__init__",
    *(f"llmtrace.internal_errors.swallow.__{name}__" for name in ("init", "enter", "exit", "call")),
    "llmtrace.api.decorator.observed",
    "llmtrace.api.decorator._ObservedFunction._record_arguments",
    *(f"llmtrace.api.decorator._ActiveStep.{name}" for name in "__init__ __enter__ __exit__ run".split()),
    *(f"llmtrace.api.decorator._GeneratorSpan.__{name}__" for name in ("init", "enter", "exit")),
    "llmtrace.api.decorator._ActiveStep.run_async",
    *(f"llmtrace.spans.generator_blocks.Attached.{name}" for name in ("__init__", "leave")),
    *(
        f"llmtrace.api.span.{name}"
        for name in (
            *(f"Span.{name}" for name in "__init__ end set_input set_output".split()),
            *("Span.set_attribute", "Span.set_attributes", "Span.record_exception", "span.__init__"),
            *(f"SpanBlock.__{name}__" for name in ("init", "enter", "exit", "aenter", "aexit")),
            *("SpanBlock._leave", "SpanBlock.start"),
        )
    ),
    *(f"llmtrace.capture.interceptor.SentRequest.__{name}__" for name in ("init", "enter", "exit")),
    "llmtrace.capture.interceptor.receive",
    "llmtrace.capture.interceptor._Beginning.__exit__",
    "llmtrace.capture.hooks.http_client_connections._possible_target",
    *(
        f"llmtrace.capture.interceptor.StreamRecorder.{name}"
        for name in "__enter__ __exit__ add_chunk add_chunk_with_room ended garbage_collected".split()
    ),
    "llmtrace.capture.hooks.httpx_clients._begin",
    "llmtrace.capture.hooks.httpx_clients._receive",
    "llmtrace.capture.hooks.urllib3_pools._received",
}


# Only these run before the first call does.
_STARTING = tuple(
    f"llmtrace.{name}."
    for name in (
        *("config", "delivery.queue", "delivery.spool", "delivery.span_processor", "redaction"),
        *("api.process_hooks", "api.lifecycle", "capture.hooks"),
    )
)


def _answer(request: httpx.Request) -> httpx.Response:
    if b'"stream":true' in request.content:
        return httpx.Response(200, headers=STREAM.headers, stream=_Chunks())
    if request.url.path == "/tool":
        return httpx.Response(200, json={"found": 1})
    return httpx.Response(200, content=PLAIN.body, headers=PLAIN.headers)


class _Chunks(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield from STREAM.chunks or ()


@llmtrace.tool
def _tool(text: str) -> str:
    return text.upper()


@llmtrace.observe(capture_args=True, capture_result=True)
def _numbers(count: int) -> Iterator[int]:
    yield from range(count)


@llmtrace.observe
def _failing() -> NoReturn:
    raise LookupError("the program's own")


def _program(server: str) -> list[Any]:
    """Everything a program does with the SDK, and what it sees."""
    seen: list[Any] = []
    url = "https://api.openai.com/v1/chat/completions"
    with httpx.Client(transport=httpx.MockTransport(_answer)) as client:
        with llmtrace.context(user_id="u", tags=["a"]), llmtrace.prompt("p", 1):
            seen.append(client.post(url, json=REQUEST).json())
            with client.stream("POST", url, json={**REQUEST, "stream": True}) as response:
                seen.append([*response.iter_raw()])
        seen.append(requests.post(server + "/v1/chat/completions", json=REQUEST, timeout=5).json())
        seen.append(client.get("https://tools.example.org/tool").json())
    seen += [_tool("x"), list(_numbers(3))]
    with llmtrace.span("block", kind="retrieval", attributes={"shelf": 7}) as span:
        span.set_input("words")
        span.set_attribute("hits", [1, 2])
        span.set_output([{"id": 1}])
    try:
        _failing()
    except LookupError as error:
        seen.append(str(error))
    llmtrace.score("good", 1.0)
    llmtrace.score("good", response_id="chatcmpl-7", explanation="why")
    return seen


def _broken(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError("ours")


def _replaced(patch: pytest.MonkeyPatch, owner: Any, name: str, function: Any) -> None:
    patch.setattr(owner, name, _broken)
    for module in [module for key, module in sys.modules.items() if key.startswith("llmtrace.")]:
        for other, value in list(vars(module).items()):
            if value is function and (module, other) != (owner, name):
                patch.setattr(module, other, _broken)


def test_there_are_many() -> None:
    assert len(TARGETS) > 250
    assert TARGETS.keys() >= _FRAMES


@pytest.fixture
def server() -> Iterator[str]:
    with ReplayServer(PLAIN, provider="openai") as running:  # which does not use what is broken
        yield running.url


@pytest.mark.parametrize("moment", ["running", "starting"])
def test_the_program_does_not_notice(
    moment: str, server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LLMTRACE_STRICT", "0")
    monkeypatch.setenv("LLMTRACE_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("llmtrace.delivery.sender._FIRST_PAUSE", 0.001)
    expected = _program(server)
    assert json.loads(PLAIN.body) == expected[0]
    noticed: list[str] = []
    for label, (owner, name, function) in TARGETS.items():
        if label in _FRAMES or (moment == "starting" and not label.startswith(_STARTING)):
            continue
        with caplog.at_level(logging.CRITICAL, "llmtrace"), pytest.MonkeyPatch.context() as patch:
            try:
                if moment == "running":
                    llmtrace.init()
                _replaced(patch, owner, name, function)
                if moment == "starting":
                    llmtrace.init()
                if _program(server) != expected:
                    noticed.append(f"{label}: another result")
                llmtrace.flush(0.01)
                llmtrace.trace_url()
                llmtrace.stats()
                llmtrace.shutdown(0.01)
            except Exception as error:
                noticed.append(f"{label}: {error!r}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lifecycle, "_runtime", None)
    assert not noticed, f"{len(noticed)} of {len(TARGETS)}:\n" + "\n".join(noticed)
