"""Whatever happens to a request, and whenever: its places and tokens come back, and it leaves one record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from pydantic import SecretStr
from starlette.requests import Request

from llmtrace_inference.access.auth import Caller
from llmtrace_inference.access.blocked_users import BlockList
from llmtrace_inference.engine.interface import (
    Delta,
    EngineFull,
    EngineStats,
    EngineUnavailable,
    Generation,
    Submission,
)
from llmtrace_inference.protocol.requests import ChatRequest, CompletionRequest
from llmtrace_inference.safety import Content, Verdict
from llmtrace_inference.serving.answers.completion import CompletionAnswer
from llmtrace_inference.serving.answers.output_grammar import GrammarCompiler
from llmtrace_inference.serving.request import InferenceRequest, State
from llmtrace_inference.serving.service import CompletionService
from llmtrace_inference.serving.steps import OPERATIONS, Arrival, Steps
from llmtrace_inference.settings import InferenceSettings, KeySettings
from llmtrace_inference.telemetry.metrics import Metrics
from llmtrace_inference.telemetry.request_record import RequestRecord
from llmtrace_inference.telemetry.spans import RequestTracer
from tests.inference.fakes import FakeEngine

LIMIT = 10_000
PATHS = {"chat": "/v1/chat/completions", "text_completion": "/v1/completions", "embeddings": "/v1/embeddings"}
FAULTS: list[type[Exception]] = [EngineFull, EngineUnavailable, ZeroDivisionError]


@dataclass
class _Counting(FakeEngine):
    """Knows which of its requests are running, and fails at the step that a test says."""

    fail_at: int = -1
    fault: type[Exception] = EngineFull
    steps: int = 0
    running: set[str] = field(default_factory=set)

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.fail_at:
            raise self.fault("on cue")

    def submit(self, generation: Generation) -> Submission:
        self._step()
        self.running.add(generation.request_id)
        return super().submit(generation)

    async def stream(self, submission: Submission) -> AsyncIterator[Delta]:
        async for delta in super().stream(submission):
            self._step()
            await asyncio.sleep(0)
            yield delta
        self.running.discard(submission.generation.request_id)

    def cancel(self, submission: Submission) -> None:
        self.running.discard(submission.generation.request_id)

    async def embed(self, sequences: list[list[int]]) -> list[list[float]]:
        self._step()
        await asyncio.sleep(0)
        return await super().embed(sequences)

    def stats(self) -> EngineStats:
        return EngineStats(len(self.running), 0, 0, 0, 0, True)


async def check(content: Content) -> Verdict:
    """A content check that takes its time."""
    await asyncio.sleep(0)
    if "crash" in content.text:
        raise ValueError("the check is broken")
    return Verdict("bad" not in content.text)


@dataclass
class _World:
    """A service with one caller, whose records are kept."""

    engine: _Counting
    records: list[RequestRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        path = f"{__name__}:check"
        configured = InferenceSettings(
            models={"m": "x"},
            response_cache="exact",
            input_checks=(path,),
            output_checks=(path,),
            max_request_bytes=2000,
            embedding_window_seconds=0.001,
        )
        self.metrics = Metrics(lambda: {"m": self.engine.stats()})
        tracer = RequestTracer(None, export=self.records.append)
        blocks = BlockList(configured.data_dir / "not-there.json")
        self.service = CompletionService({"m": self.engine}, configured, tracer, self.metrics, blocks)
        key = KeySettings(name="ada", key=SecretStr("k"), tokens_per_day=LIMIT, tokens_per_minute=LIMIT)
        self.caller = Caller("ada", key)

    @property
    def tokens_held(self) -> int:
        """Tokens that are taken of the caller's day."""
        left = self.service._quotas.headers(self.caller)["x-ratelimit-remaining-tokens-day"]
        return LIMIT - int(left)

    @property
    def running(self) -> float:
        text = generate_latest(self.metrics.registry).decode()
        line = next(x for x in text.splitlines() if x.startswith("llmtrace_inference_requests_running{"))
        return float(line.rpartition(" ")[2])


@dataclass(frozen=True)
class _Exchange:
    """One request: what is asked, where the engine fails, when it is cut short and how."""

    operation: str
    stream: bool
    choices: int
    text: str
    fail_at: int
    fault: type[Exception]
    cut_after: int | None
    how: str


EXCHANGES = st.builds(
    _Exchange,
    operation=st.sampled_from(sorted(PATHS)),
    stream=st.booleans(),
    choices=st.integers(1, 3),
    text=st.sampled_from(["hi", "so bad", "crash", "", "x" * 900, "x" * 3000]),
    fail_at=st.integers(-1, 12),
    fault=st.sampled_from(FAULTS),
    cut_after=st.none() | st.integers(1, 60),
    how=st.sampled_from(["leaves", "cancelled", "send fails"]),
)


async def _run(world: _World, exchange: _Exchange) -> None:
    """One exchange as the server would drive it, cut short after so many turns of the loop."""
    operation = exchange.operation
    prompt = [{"role": "user", "content": exchange.text}] if operation == "chat" else exchange.text
    asked = {"chat": "messages", "text_completion": "prompt", "embeddings": "input"}[operation]
    body: dict[str, Any] = {"model": "m", asked: prompt}
    if operation != "embeddings":
        body |= {"stream": exchange.stream, "n": exchange.choices, "max_tokens": 20}
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        if gone.is_set() and exchange.how == "send fails":
            raise OSError("the connection is closed")

    version = "2.4" if exchange.how == "send fails" else "2.3"
    scope = {
        "type": "http", "method": "POST", "path": PATHS[operation], "query_string": b"", "headers": [],
        "server": ("127.0.0.1", 1), "scheme": "http", "asgi": {"spec_version": version},
    }  # fmt: skip

    arrival = Arrival(OPERATIONS[PATHS[operation]], PATHS[operation], world.caller, {}, ("127.0.0.1", 1))

    async def serve() -> None:
        response = await world.service.answer(Request(scope, receive), arrival)
        await response(scope, receive, send)

    task = asyncio.create_task(serve())
    if exchange.cut_after is not None:
        for _ in range(exchange.cut_after):
            await asyncio.sleep(0)
        if exchange.how == "cancelled":
            task.cancel()
        gone.set()
    result = (await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 10))[0]
    assert (
        result is None or isinstance(result, asyncio.CancelledError | OSError) or "Disconnect" in repr(result)
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(EXCHANGES, min_size=1, max_size=4), st.booleans())
def test_all_comes_back_and_each_leaves_one_record(exchanges: list[_Exchange], together: bool) -> None:
    async def drive() -> None:
        world = _World(_Counting())
        used = 0
        for group in [exchanges] if together else [[exchange] for exchange in exchanges]:
            world.engine.steps, world.engine.fail_at = 0, group[0].fail_at
            world.engine.fault = group[0].fault
            before = len(world.records)
            await asyncio.gather(*(_run(world, exchange) for exchange in group))
            others = asyncio.all_tasks() - {asyncio.current_task()}
            # A batcher goes on for other requests' texts.
            assert {task.get_coro().__qualname__ for task in others} <= {"MicroBatcher._run"}  # type: ignore[union-attr]
            new = world.records[before:]
            assert len(new) == len(group), "each request leaves one record"
            for record in new:
                assert record.ended_ns >= record.arrived_ns
                assert record.status is not None or record.error_type in ("client_disconnected", "cancelled")
                computed = [choice for choice in record.choices if choice.progress.submitted_ns]
                if computed or record.further_phases:
                    used += (record.input_tokens or 0) + record.output_tokens
            assert world.running == 0
            assert world.engine.running == set()
            assert world.tokens_held == used, "what was reserved and not computed comes back"

    InferenceRequest.strict = True
    asyncio.run(drive())


def _idle(records: list[RequestRecord]) -> InferenceRequest[Any]:
    steps: Steps[ChatRequest | CompletionRequest] = Steps(
        ChatRequest.model_validate_json,
        lambda _user: None,
        lambda _model: FakeEngine(),
        partial(CompletionAnswer, InferenceSettings(), GrammarCompiler()),
        records.append,
    )
    return InferenceRequest(Arrival("chat", "/v1/chat/completions", Caller("ada")), steps)


def test_only_what_may_follow_follows_and_there_is_one_end(caplog: pytest.LogCaptureFixture) -> None:
    records: list[RequestRecord] = []
    request = _idle(records)
    with pytest.raises(RuntimeError, match="cannot be streaming after received"):
        request._advance(State.STREAMING)
    assert request.finish(EngineFull("full")).status == 503
    assert request.finish().status == 503, "the first end counts"
    assert [record.error_type for record in records] == ["engine_full"]
    with pytest.raises(RuntimeError, match="cannot be finished after finished"):
        request._advance(State.FINISHED)

    InferenceRequest.strict = False
    try:
        other = _idle(records)
        other._advance(State.CACHED)
        assert "cannot be cached after received" in str(caplog.records[-1].exc_info)
        assert other.finish().status == 200, "the answer is as good without"
    finally:
        InferenceRequest.strict = True
