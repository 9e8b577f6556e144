"""Another version of a served model: no gap, no lost answer, and back again."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from llmtrace_inference.engine import Engine, EngineStats
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import serving, wait_until

ADMIN = {"Authorization": "Bearer boss"}


@dataclass
class _Draining(FakeEngine):
    """Knows whether it is being asked, and whether it was closed."""

    asked: int = 0
    closed: bool = False

    async def stream(self, ticket: Any) -> Any:
        self.asked += 1
        try:
            async for delta in super().stream(ticket):
                yield delta
        finally:
            self.asked -= 1

    def stats(self) -> EngineStats:
        return EngineStats(self.asked, 0, 0, 0, 0, True)

    async def close(self) -> None:
        self.closed = True


def test_a_new_version_takes_over_while_the_old_one_finishes() -> None:
    made: list[_Draining] = []

    def load(name: str, source: str, _: InferenceSettings) -> Engine:
        if source == "broken":
            raise RuntimeError("no config.json")
        made.append(_Draining(says=source * 8, pause=0.1 if source == "old" else 0))
        return made[-1]

    settings = InferenceSettings(models={"m": "old"}, admin_key=SecretStr("boss"))
    with serving(settings, load=load) as running:
        url = f"{running.url}/admin/models"

        def say() -> str:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            answer = httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=20)
            return str(answer.json()["choices"][0]["message"]["content"])

        def change(**body: Any) -> httpx.Response:
            return httpx.post(url, json={"name": "m"} | body, headers=ADMIN)

        said: list[str] = []
        slow = threading.Thread(target=lambda: said.append(say()))
        slow.start()
        wait_until(lambda: made[0].asked == 1)
        assert httpx.post(url, json={"name": "m", "source": "new"}).status_code == 401
        assert change(source="new").json()["source"] == "new"
        assert say() == "new" * 8
        assert not made[0].closed, "it still has an answer to finish"
        slow.join()
        assert said == ["old" * 8]
        wait_until(lambda: made[0].closed)

        failed = change(source="broken")
        assert (failed.status_code, failed.json()["error"]["code"]) == (400, "load_failed")
        assert "no config.json" in failed.json()["error"]["message"]
        assert say() == "new" * 8
        assert change(rollback=True).json()["source"] == "old"
        wait_until(lambda: made[1].closed)
        assert change().status_code == 400
        assert httpx.post(url, json={"name": "x", "source": "y"}, headers=ADMIN).status_code == 404
    assert made[-1].closed


def test_real_models_say_on_their_spans_which_version_answered(model_dir: Path) -> None:
    settings = InferenceSettings(
        models={"m": "builtin:tiny-chat-s"}, data_dir=model_dir, admin_key=SecretStr("boss")
    )
    with serving(settings) as running:

        def attributes() -> tuple[Any, Any]:
            answer = running.client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], max_tokens=2
            )
            found = running.request_spans(answer.id)[0].attributes or {}
            return found["llmtrace.inference.model.version"], found["llmtrace.inference.model.weights_hash"]

        async def change_under_load() -> list[int]:
            async with httpx.AsyncClient(timeout=30) as client:
                body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 40}
                asked = [client.post(f"{running.url}/v1/chat/completions", json=body) for _ in range(20)]
                new = {"name": "m", "source": "builtin:tiny-chat-m"}
                changed = client.post(f"{running.url}/admin/models", json=new, headers=ADMIN)
                return [r.status_code for r in await asyncio.gather(*asked, changed)]

        before = attributes()
        assert set(asyncio.run(change_under_load())) == {200}
        after = attributes()
        assert before[0] == "tiny-chat-s-v3-0"
        assert after[0] == "tiny-chat-m-v3-0"
        assert before[1] != after[1]
        assert str(after[1]).startswith("sha256:")
