"""Another version of a served model: no gap, no lost answer, and back again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from llmtrace_inference.demo_model import directory
from llmtrace_inference.engine.interface import Engine, EngineStats
from llmtrace_inference.engine.local.model_loader import weights_hash
from llmtrace_inference.engine.local.model_source import BUILTIN_MODELS
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving, wait_until

ADMIN = {"Authorization": "Bearer boss"}


@dataclass
class _Draining(FakeEngine):
    """Knows whether it has requests, and whether it was closed."""

    active_requests: int = 0
    closed: bool = False

    async def stream(self, submission: Any) -> Any:
        self.active_requests += 1
        try:
            async for delta in super().stream(submission):
                yield delta
        finally:
            self.active_requests -= 1

    def stats(self) -> EngineStats:
        return EngineStats(self.active_requests, 0, 0, 0, 0, True)

    async def close(self) -> None:
        self.closed = True


def test_a_new_version_takes_over_while_the_old_one_finishes(tmp_path: Path) -> None:
    engines: list[_Draining] = []

    def load(name: str, source: str, _: InferenceSettings) -> Engine:
        if source == "broken":
            raise RuntimeError("no config.json")
        engines.append(_Draining(says=source * 8, pause=0.1 if source == "old" else 0))
        return engines[-1]

    settings = InferenceSettings(models={"m": "old"}, admin_key=SecretStr("boss"), data_dir=tmp_path)
    with serving(settings, load=load) as running:
        url = f"{running.url}/admin/models"

        def say() -> str:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            answer = httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=20)
            return str(answer.json()["choices"][0]["message"]["content"])

        def change(**body: Any) -> httpx.Response:
            return httpx.post(url, json={"name": "m"} | body, headers=ADMIN)

        slow_answers: list[str] = []
        slow = threading.Thread(target=lambda: slow_answers.append(say()))
        slow.start()
        wait_until(lambda: engines[0].active_requests == 1)
        assert httpx.post(url, json={"name": "m", "source": "new"}).status_code == 401
        assert change(source="new").json()["source"] == "new"
        assert say() == "new" * 8
        assert not engines[0].closed, "it still has an answer to finish"
        slow.join()
        assert slow_answers == ["old" * 8]
        wait_until(lambda: engines[0].closed)

        failed = change(source="broken")
        assert (failed.status_code, failed.json()["error"]["code"]) == (400, "load_failed")
        assert "no config.json" in failed.json()["error"]["message"]
        assert say() == "new" * 8
        assert change(rollback=True).json()["source"] == "old"
        wait_until(lambda: engines[1].closed)
        assert change().status_code == 400
        assert httpx.post(url, json={"name": "x", "source": "y"}, headers=ADMIN).status_code == 404
    assert engines[-1].closed


@dataclass
class _Mute(_Draining):
    """Loads, and does not answer its warm-up; or only when it is let go."""

    gate: threading.Event | None = None

    async def start(self) -> None:
        if self.gate is None:
            raise RuntimeError("no answer to the first prompt")
        await asyncio.to_thread(self.gate.wait, 20)


def test_a_version_that_does_not_answer_is_closed_and_the_old_one_goes_on(tmp_path: Path) -> None:
    engines: dict[str, _Draining] = {}

    def load(name: str, source: str, _: InferenceSettings) -> Engine:
        engines[source] = _Mute() if source == "mute" else _Draining(says=source)
        return engines[source]

    settings = InferenceSettings(models={"m": "old"}, admin_key=SecretStr("boss"), data_dir=tmp_path)
    with serving(settings, load=load) as running:
        body = {"name": "m", "source": "mute"}
        failed = httpx.post(f"{running.url}/admin/models", json=body, headers=ADMIN)
        assert (failed.status_code, failed.json()["error"]["code"]) == (400, "load_failed")
        assert "no answer to the first prompt" in failed.json()["error"]["message"]
        assert engines["mute"].closed
        assert not engines["old"].closed
        back = httpx.post(f"{running.url}/admin/models", json={"name": "m", "rollback": True}, headers=ADMIN)
        assert (back.status_code, back.json()["error"]["code"]) == (409, "no_previous")


def test_one_change_at_a_time_and_a_drain_ends(tmp_path: Path) -> None:
    gate = threading.Event()
    engines: dict[str, _Draining] = {}

    def load(name: str, source: str, _: InferenceSettings) -> Engine:
        engines[source] = (
            _Mute(says=source, gate=gate) if source == "new" else _Draining(says=source, pause=600)
        )
        return engines[source]

    settings = InferenceSettings(
        models={"m": "old"}, admin_key=SecretStr("boss"), data_dir=tmp_path, request_timeout_seconds=1.0
    )
    with serving(settings, load=load) as running:

        def change(answers: list[httpx.Response]) -> None:
            body = {"name": "m", "source": "new"}
            answers.append(httpx.post(f"{running.url}/admin/models", json=body, headers=ADMIN, timeout=30))

        endless: list[httpx.Response] = []

        def say() -> None:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            endless.append(httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=30))

        threads = [threading.Thread(target=say)]
        threads[0].start()
        wait_until(lambda: engines["old"].active_requests == 1)
        first: list[httpx.Response] = []
        threads.append(threading.Thread(target=change, args=(first,)))
        threads[1].start()
        wait_until(lambda: "new" in engines)
        second: list[httpx.Response] = []
        change(second)
        assert (second[0].status_code, second[0].json()["error"]["code"]) == (409, "model_loading")
        assert int(second[0].headers["retry-after"]) > 0
        gate.set()
        for thread in threads:
            thread.join(30)
        assert first[0].status_code == 200
        assert endless[0].status_code in (503, 504), "it never ends by itself"
        wait_until(lambda: engines["old"].closed)
        assert not engines["new"].closed


def test_real_models_say_on_their_spans_which_version_answered(model_dir: Path) -> None:
    settings = InferenceSettings(
        models={"m": "builtin:tiny-chat-s"},
        data_dir=model_dir,
        admin_key=SecretStr("boss"),
        trace_every_step=1,
    )
    versions = {name: (directory(name).name, weights_hash(directory(name))) for name in BUILTIN_MODELS}
    small, middle = versions["tiny-chat-s"], versions["tiny-chat-m"]
    assert small != middle
    assert all(digest.startswith("sha256:") for _, digest in versions.values())
    with serving(settings) as running:

        def versions_on_spans() -> set[tuple[Any, Any]]:
            """Of an answer, an embedding, a refusal and the forward passes: version and hash on each."""
            # What was asked before may still end.
            began = time.time_ns()

            def since(spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
                return [span for span in spans if (span.start_time or 0) >= began]

            ask: Any = running.client.chat.completions.create
            message = {"role": "user", "content": "hi"}
            ask(model="m", messages=[message], max_tokens=2)
            running.client.embeddings.create(model="m", input="hi")
            with pytest.raises(BadRequestError):
                ask(model="m", messages=[message], extra_body={"top_k": 10**6})
            wait_until(lambda: len(since(_servers(running))) == 3)
            spans = since([*_servers(running), *_named(running, "engine step")])
            assert {span.name for span in spans} == {"chat m", "embeddings m", "engine step"}
            attributes = [span.attributes or {} for span in spans]
            return {
                (a["llmtrace.inference.model.version"], a["llmtrace.inference.model.weights_hash"])
                for a in attributes
            }

        async def change_under_load() -> list[int]:
            async with httpx.AsyncClient(timeout=30) as client:
                body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40}
                requests = [client.post(f"{running.url}/v1/chat/completions", json=body) for _ in range(20)]
                new = {"name": "m", "source": "builtin:tiny-chat-m"}
                changed = client.post(f"{running.url}/admin/models", json=new, headers=ADMIN)
                return [r.status_code for r in await asyncio.gather(*requests, changed)]

        assert versions_on_spans() == {small}
        assert set(asyncio.run(change_under_load())) == {200}
        assert versions_on_spans() == {middle}
        back = httpx.post(
            f"{running.url}/admin/models", json={"name": "m", "rollback": True}, headers=ADMIN, timeout=30
        )
        assert (back.json()["version"], back.json()["weights_hash"]) == small
        assert versions_on_spans() == {small}


def _named(running: Running, name: str) -> list[ReadableSpan]:
    return [span for span in running.exporter.get_finished_spans() if span.name == name]


def _servers(running: Running) -> list[ReadableSpan]:
    return [span for span in running.exporter.get_finished_spans() if span.kind is SpanKind.SERVER]
