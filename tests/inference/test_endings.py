"""Every way in which a request can end: what its client got, its whole spans, and what it counted.

`snapshots/endings.json` holds them; `python -m tests.inference.test_endings` writes it anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from llmtrace_inference.engine.interface import (
    CircuitOpen,
    Delta,
    Engine,
    EngineFull,
    EngineUnavailable,
    Generation,
    RequestTooLarge,
    Submission,
)
from llmtrace_inference.safety import Content, Verdict
from llmtrace_inference.settings import InferenceSettings, KeySettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving, wait_until

SNAPSHOT = Path(__file__).parent / "snapshots" / "endings.json"
HERE = "tests.inference.test_endings"
CHAT, PLAIN, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


class _Broken(FakeEngine):
    """Has a fault of its own in it."""

    def submit(self, generation: Generation) -> Submission:
        raise ZeroDivisionError("a fault that nobody foresaw")

    async def embed(self, sequences: list[list[int]]) -> list[list[float]]:
        raise ZeroDivisionError("a fault that nobody foresaw")


class _Stuck(FakeEngine):
    """Says `says`, and then nothing more."""

    stuck = 0

    async def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        async for delta in super().stream(submission):
            yield Delta(delta.token_ids)
        self.stuck += 1
        await asyncio.Event().wait()


class _Silent(FakeEngine):
    """Ends its stream without a word and without a finish."""

    async def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        nothing: tuple[Delta, ...] = ()
        for delta in nothing:
            yield delta


FAILED = EngineUnavailable("the engine failed")
ENGINES: dict[str, Callable[[], Engine]] = {
    "good": lambda: FakeEngine("good"),
    "calls": lambda: FakeEngine('<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'),
    "rude": lambda: FakeEngine("Good day. You fool! Never mind."),
    "stuck": lambda: _Stuck("one"),
    "full": lambda: FakeEngine(refuse=EngineFull("12 requests are waiting")),
    "open": lambda: FakeEngine(refuse=CircuitOpen("the engine is left alone", 6.5)),
    "small": lambda: FakeEngine(refuse=RequestTooLarge("too large")),
    "dead": lambda: FakeEngine(fail_after=0, failure=FAILED),
    "dying": lambda: FakeEngine(fail_after=3, failure=FAILED),
    "broken": lambda: _Broken(),
    "silent": lambda: _Silent(),
}


def no_bombs(content: Content) -> Verdict:
    """A check of prompts."""
    return Verdict("bomb" not in content.text, "weapons" if "bomb" in content.text else "")


async def polite(content: Content) -> Verdict:
    """A check of answers."""
    return Verdict("fool" not in content.text, "insult" if "fool" in content.text else "fine")


async def second(content: Content) -> Verdict:
    """Another one."""
    return Verdict(True)


FACTS = {
    "engine": "fake", "dtype": "none", "quantisation": "none", "device": "none", "attention": "none",
    "model.parameters": 0, "model.version": "", "model.weights_hash": "",
}  # fmt: skip
PLAIN_SETTINGS: dict[str, Any] = {"models": dict.fromkeys(ENGINES, "x"), "max_request_bytes": 4096}
SERVICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "impatient": {"request_timeout_seconds": 0.3},
    "cached": {"response_cache": "semantic", "semantic_embedder": f"{HERE}:embedding"},
    "checked": {
        "input_checks": (f"{HERE}:no_bombs", f"{HERE}:second"),
        "output_checks": (f"{HERE}:polite", f"{HERE}:second"),
    },
    "limited": {
        "keys": (
            KeySettings(name="few", key=SecretStr("k-few"), requests_per_minute=1),
            KeySettings(name="short", key=SecretStr("k-short"), tokens_per_minute=60, tokens_per_day=1000),
        ),
        "admin_key": SecretStr("boss"),
    },
}


def embedding(text: str) -> list[float]:
    """All texts are alike that hold the same of these words."""
    return [float("weather" in text), float("price" in text), 0.1]


@dataclass(frozen=True)
class Case:
    """One request. `leave_after`: the client goes away after so many events, 0 before any."""

    name: str
    service: str = "plain"
    path: str = CHAT
    body: Any = None
    model: str = "good"
    text: str = "hi"
    headers: dict[str, str] | None = None
    key: str = "none"
    leave_after: int | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        field = {CHAT: "messages", PLAIN: "prompt", EMBED: "input"}[self.path]
        asked = [{"role": "user", "content": self.text}] if self.path == CHAT else self.text
        return json.dumps({"model": self.model, field: asked, **(self.body or {})}).encode()


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
STREAM: dict[str, Any] = {"stream": True}
USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
ALL: dict[str, Any] = {
    "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 3, "presence_penalty": 0.1,
    "frequency_penalty": 0.2, "user": "ada", "metadata": {"session_id": "s-1"}, "priority": 2,
}  # fmt: skip
CASES = [
    Case("whole", body=ALL),
    Case("streamed", body=ALL | USAGE),
    Case("several choices", body={"n": 3}),
    Case("several choices streamed", body={"n": 2, **USAGE}),
    Case("prompts", path=PLAIN, body={"prompt": ["ab", "cde"], "n": 2, "stop": ["d"], "logprobs": 0}),
    Case("tokens streamed", path=PLAIN, body={"prompt": [[97], [99, 100, 101]], **STREAM}),
    Case("stop string", body={"stop": ["oo"]}),
    Case("stop string streamed", body={"stop": ["oo"], **STREAM}),
    Case("tool call", model="calls", body={"tools": [TOOL]}),
    Case("tool call streamed", model="calls", body={"tools": [TOOL], **STREAM}),
    Case("no word", model="silent"),
    Case("no word streamed", model="silent", body=STREAM),
    Case("bad JSON", body=b"{nope"),
    Case("bad field", body={"n": 30}),
    Case("bad model", body=b'{"model": 3}'),
    Case("too large", body={"user": "x" * 5000}),
    Case("unknown model", model="gpt-9", body=ALL),
    Case("vocabulary", body={"top_k": 10_000_000}),
    Case("empty prompt", text=""),
    Case("grammar", body={"response_format": {"type": "json_object"}}),
    *(
        Case(f"{model}{' streamed' if stream else ''}", model=model, body={"stream": stream})
        for model in ("full", "open", "small", "dead", "dying", "broken")
        for stream in (False, True)
    ),
    Case("leaves", model="stuck", leave_after=0),
    Case("leaves in the stream", model="stuck", body=STREAM, leave_after=4),
    Case("leaves several", model="stuck", body={"n": 2, **STREAM}, leave_after=8),
    Case("embeddings", path=EMBED, body={"input": ["ab", "c"], "user": "ada"}),
    Case("embeddings encoded", path=EMBED, body={"encoding_format": "base64"}),
    Case("embeddings refused", path=EMBED, body={"input": ["x" * 1001]}),
    Case("embeddings of no model", path=EMBED, model="gpt-9"),
    Case("embeddings bad field", path=EMBED, body={"dimensions": 3}),
    Case("embeddings failed", path=EMBED, model="broken"),
    Case("timeout", service="impatient", model="stuck"),
    Case("timeout streamed", service="impatient", model="stuck", body=STREAM),
    Case("miss", service="cached", text="the weather"),
    Case("hit", service="cached", text="the weather", body={"user": "ada"}),
    Case("hit streamed", service="cached", text="the weather", body=USAGE),
    Case("similar", service="cached", text="weather!"),
    Case("not asked for", service="cached", text="weather!", headers={"Cache-Control": "no-cache"}),
    Case("not stored", service="cached", text="a price", headers={"Cache-Control": "no-store"}),
    Case("still a miss", service="cached", text="a price", body=STREAM),
    Case("and now a hit", service="cached", text="a price"),
    Case("prompt refused", service="checked", text="a bomb"),
    Case("plain prompt refused", service="checked", path=PLAIN, text="a bomb", body=STREAM),
    Case("checked", service="checked", body=STREAM),
    Case("recalled", service="checked", model="rude"),
    Case("recalled streamed", service="checked", model="rude", body=USAGE),
    Case("recalled all", service="checked", model="rude", body={"n": 2}),
    Case("first of its minute", service="limited", key="k-few"),
    Case("second of its minute", service="limited", key="k-few"),
    Case("too many tokens", service="limited", key="k-short", body={"max_tokens": 100}),
    Case("tokens reserved", service="limited", key="k-short", body={"max_tokens": 8}),
    Case("tokens streamed", service="limited", key="k-short", body={"max_tokens": 8, **STREAM}),
    Case("tokens of a failure", service="limited", key="k-short", model="dying", body={"max_tokens": 8}),
    Case("tokens of a refusal", service="limited", key="k-short", model="full", body={"max_tokens": 8}),
    Case(
        "tokens of one who leaves",
        service="limited",
        key="k-short",
        model="stuck",
        body={"max_tokens": 8, **STREAM},
        leave_after=4,
    ),
    Case("tokens embedded", service="limited", key="k-short", path=EMBED, text="12345"),
    Case("tokens left", service="limited", key="k-short", body={"max_tokens": 8}),
    Case("blocked", service="limited", key="k-short", body={"user": "mallory"}),
    Case("blocked embeddings", service="limited", key="k-short", path=EMBED, body={"user": "mallory"}),
]


def _ask(running: Running, case: Case) -> Any:
    """What the client of a request saw."""
    headers = {"Authorization": f"Bearer {case.key}", **(case.headers or {})}
    url = running.url + case.path
    if case.leave_after == 0:
        with contextlib.suppress(httpx.ReadTimeout):
            httpx.post(
                url, content=case.content, headers=headers, timeout=0.15 if "stuck" in case.model else 5
            )
        return "left"
    if case.leave_after is not None:
        with httpx.Client() as client, client.stream("POST", url, content=case.content, headers=headers) as r:
            lines = (line for line in r.iter_lines() if line)
            return [_body(next(lines)) for _ in range(case.leave_after)]
    response = httpx.post(url, content=case.content, headers=headers)
    names = ("retry-after", "x-should-retry", "content-type", "cache-control", "x-llmtrace-provider")
    seen = {name: response.headers[name] for name in names if name in response.headers}
    if int(seen.get("retry-after", 0)) > 20:
        seen["retry-after"] = "…"
    for name in ("requests", "tokens", "tokens-day"):
        limit = f"x-ratelimit-limit-{name}"
        if limit in response.headers:
            # A bucket refills while a test runs; the day's count only goes by what was used.
            seen[limit] = response.headers[limit]
            if name == "tokens-day":
                seen["left today"] = response.headers[f"x-ratelimit-remaining-{name}"]
    body = [_body(line) for line in response.text.split("\n\n") if line] or None
    return {"status": response.status_code, "headers": seen, "body": body}


def _body(text: str) -> Any:
    text = _settled(text.removeprefix("data: "))
    try:
        body = json.loads(text)
    except ValueError:
        return text
    if isinstance(body, dict) and "created" in body:
        body["created"] = "…"
    return body


def _value(name: str, value: Any) -> Any:
    if name == "server.port":
        return "…"
    if isinstance(value, float) and name not in ("gen_ai.request.temperature", "gen_ai.request.top_p"):
        measured = ("seconds", "time_to", "time_per", "latency", "detokenize.total")
        return "…" if any(word in name for word in measured) else round(value, 6)
    if isinstance(value, tuple):
        return [_value(name, item) for item in value]
    return _settled(value) if isinstance(value, str) else value


def _settled(text: str) -> str:
    """Without ids, and without what a slow machine makes one second less of."""
    text = re.sub(r"(chatcmpl|cmpl)-[0-9a-f]{32}", r"\1-…", text)
    text = re.sub(r"call_[0-9a-zA-Z]+", "call_…", text)
    return re.sub(r"(another|again in) \d+ s", r"\1 … s", text)


def _span(span: ReadableSpan) -> list[Any]:
    """Name, status and attributes, less what the attributes of the engine are on every span that has them."""
    attributes = {name: _value(name, value) for name, value in sorted((span.attributes or {}).items())}
    if "llmtrace.inference.engine" in attributes:
        assert {name: attributes.pop(f"llmtrace.inference.{name}") for name in FACTS} == FACTS
    reason = span.status.description
    return [span.name, span.status.status_code.name, _settled(reason) if reason else None, attributes]


def _trace(spans: tuple[ReadableSpan, ...]) -> list[list[Any]]:
    """The SERVER span of the newest request, then its phases; each must lie within the first."""
    server = next(s for s in reversed(spans) if s.kind is SpanKind.SERVER)
    phases = [s for s in spans if s.parent is not None and s.parent.span_id == server.context.span_id]
    for phase in phases:
        assert (server.start_time or 0) <= (phase.start_time or 0) <= (phase.end_time or 0)
        assert (phase.end_time or 0) <= (server.end_time or 0)
    return [_span(server), *map(_span, phases)]


def _counted(running: Running) -> dict[str, float]:
    """The metrics of finished requests by their labels."""
    wanted = ("llmtrace_inference_tokens_total", "llmtrace_inference_cache_", "gen_ai_server_")
    counted = {}
    for line in httpx.get(f"{running.url}/metrics").text.splitlines():
        if line.startswith(wanted) and not re.search(r"_(bucket|created|sum)\b", line):
            series, _, value = line.rpartition(" ")
            counted[series] = float(value)
    return counted


def _servers(running: Running) -> int:
    return sum(s.kind is SpanKind.SERVER for s in running.exporter.get_finished_spans())


@contextlib.contextmanager
def _service(name: str) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as directory:
        settings = InferenceSettings(**(PLAIN_SETTINGS | SERVICES[name] | {"data_dir": Path(directory)}))
        with serving(settings, load=lambda model, *_: ENGINES[model]()) as running:
            if settings.admin_key is not None:
                httpx.post(
                    f"{running.url}/admin/blocks",
                    json={"user": "mallory", "seconds": 600, "reason": "flooding"},
                    headers={"Authorization": "Bearer boss"},
                ).raise_for_status()
            yield running


def endings(service: str) -> dict[str, Any]:
    """What each request of a service came to, in order."""
    out: dict[str, Any] = {}
    with _service(service) as running:
        counted = _counted(running)
        for case in CASES:
            if case.service != service:
                continue
            before = _servers(running)
            answer = _ask(running, case)
            wait_until(lambda before=before: _servers(running) > before, 10)  # type: ignore[misc]
            time.sleep(0.01)
            assert _servers(running) == before + 1, f"{case.name}: one request is one record"
            now = _counted(running)
            out[case.name] = {
                "client": answer,
                "spans": _trace(running.exporter.get_finished_spans()),
                "counted": {
                    series: value - counted.get(series, 0)
                    for series, value in sorted(now.items())
                    if value != counted.get(series, 0)
                },
            }
            counted = now
    return out


def shutdowns() -> dict[str, Any]:
    """What requests come to that the end of the service cuts short."""
    out: dict[str, Any] = {}
    for name, stream in (("whole", False), ("streamed", True)):
        settings = InferenceSettings(models={"stuck": "x"})
        with serving(settings, load=lambda *_: _Stuck("one")) as running:
            case = Case(name, model="stuck", body={"stream": stream})
            client = threading.Thread(target=_cut_short, args=(running, case))
            client.start()
            engine = cast(_Stuck, running.engine("stuck"))
            wait_until(lambda engine=engine: engine.stuck > 0)  # type: ignore[misc]
        client.join(10)
        assert _servers(running) == 1
        out[name] = {"spans": _trace(running.exporter.get_finished_spans())}
    return out


def _cut_short(running: Running, case: Case) -> None:
    with contextlib.suppress(httpx.TransportError):  # no answer, or half of one
        _ask(running, case)


@pytest.mark.parametrize("service", [*SERVICES, "shut down"])
def test_each_ending_is_as_it_was(service: str) -> None:
    expected = json.loads(SNAPSHOT.read_text())[service]
    results = json.loads(json.dumps(shutdowns() if service == "shut down" else endings(service)))
    assert list(results) == list(expected)
    for name, result in results.items():
        assert result == expected[name], name


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    written = {service: endings(service) for service in SERVICES} | {"shut down": shutdowns()}
    services = []
    for service, results in written.items():
        lines = [
            f"{json.dumps(name)}: {json.dumps(result, ensure_ascii=False)}"
            for name, result in results.items()
        ]
        services.append(f"{json.dumps(service)}: {{\n" + ",\n".join(lines) + "\n}")
    SNAPSHOT.write_text("{" + ",\n".join(services) + "}\n")
