"""Files and batches by the real openai client: shapes, refusals, isolation, low priority, spans, crashes."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI
from openai.types import Batch
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from llmtrace.testing import capture
from llmtrace_inference.batches.file_store import FileStore
from llmtrace_inference.batches.input_lines import LineRules, read_lines
from llmtrace_inference.batches.journal import AnswerJournal, records
from llmtrace_inference.demo_model import directory
from llmtrace_inference.engine.interface import EngineFull, EngineUnavailable, Generation, Submission
from llmtrace_inference.settings import InferenceSettings, KeySettings
from tests.inference.fakes import FakeEngine
from tests.inference.running import Running, serving, wait_until

CHAT: Any = "/v1/chat/completions"
MODEL = "tiny-chat-s"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDED = ("completed", "failed", "expired", "cancelled")


def _line(custom_id: str, url: str = CHAT, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": custom_id}]} | more
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def _jsonl(lines: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _begin(client: OpenAI, lines: Iterable[Any], endpoint: Any = CHAT, **how: Any) -> Batch:
    file = client.files.create(file=("in.jsonl", _jsonl(lines)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **how)


def _ended(client: OpenAI, batch: Batch, seconds: float = 60) -> Batch:
    wait_until(lambda: client.batches.retrieve(batch.id).status in ENDED, seconds)
    return client.batches.retrieve(batch.id)


def _read(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def _settings(where: Path, **more: Any) -> InferenceSettings:
    return InferenceSettings(models={"fake": "x"}, data_dir=where, **more)


def test_a_batch_of_each_endpoint_on_real_models(service: Running) -> None:
    client = service.client
    asks = [_line(f"q{i}", model=MODEL, max_tokens=4 + i, ignore_eos=True) for i in range(5)]
    asks.append(_line("bad", model=MODEL, temperature=9))
    batch = _begin(client, asks, metadata={"run": "7"})
    assert batch.status in ("validating", "in_progress")
    assert (batch.object, batch.metadata, batch.completion_window) == ("batch", {"run": "7"}, "24h")
    done = _ended(client, batch)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed) == (6, 5)
    assert done.request_counts.failed == 1
    assert done.model == MODEL
    answers = _read(client, done.output_file_id)
    assert sorted(a["custom_id"] for a in answers) == [f"q{i}" for i in range(5)]
    for answer in answers:
        assert (answer["error"], answer["response"]["status_code"]) == (None, 200)
        usage = answer["response"]["body"]["usage"]
        assert usage["completion_tokens"] == 4 + int(answer["custom_id"][1:])
    assert done.usage is not None
    assert done.usage.output_tokens == sum(4 + i for i in range(5))
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens
    (fault,) = _read(client, done.error_file_id)
    assert (fault["custom_id"], fault["response"]["status_code"]) == ("bad", 400)
    assert fault["response"]["body"]["error"]["param"] == "temperature"
    assert done.in_progress_at is not None
    assert done.completed_at is not None
    assert done.created_at <= done.in_progress_at <= done.completed_at

    plain: Any = {"method": "POST", "url": "/v1/completions"}
    text = _begin(
        client,
        [plain | {"custom_id": "t", "body": {"model": MODEL, "prompt": "Hello", "max_tokens": 3}}],
        "/v1/completions",
    )
    vectors = _begin(
        client,
        [plain | {"custom_id": "v", "url": "/v1/embeddings", "body": {"model": MODEL, "input": "Hi"}}],
        "/v1/embeddings",
    )
    (answer,) = _read(client, _ended(client, text).output_file_id)
    assert answer["response"]["body"]["object"] == "text_completion"
    (answer,) = _read(client, _ended(client, vectors).output_file_id)
    assert len(answer["response"]["body"]["data"][0]["embedding"]) == 128


def test_lines_that_left_spans_here_are_not_counted_again_where_they_are_read(tmp_path: Path) -> None:
    with serving(_settings(tmp_path), load=_fake) as running, capture() as traces:
        client = running.client
        batch = _ended(client, _begin(client, [_line("a"), _line("b")]))
        assert len(_read(client, batch.output_file_id)) == 2
        (read,) = [span for span in traces.snapshot() if span["name"] == "fetch_batch_results"]
        assert not any("llmtrace.batch.custom_id" in span["attributes"] for span in traces.snapshot())
        lines = [s for s in running.exporter.get_finished_spans() if s.kind is SpanKind.SERVER]
    assert read["attributes"]["llmtrace.batch.results.repeated"] == 2
    assert len(lines) >= 2


def test_files_are_kept_listed_read_and_deleted(tmp_path: Path) -> None:
    with serving(_settings(tmp_path, max_file_bytes=2048, max_stored_bytes=4096), load=_fake) as running:
        client = running.client
        content = _jsonl([_line("a")])
        files = [
            client.files.create(file=(f"{i}.jsonl", io.BytesIO(content)), purpose="batch") for i in range(3)
        ]
        assert (files[0].object, files[0].bytes, files[0].filename) == ("file", len(content), "0.jsonl")
        assert files[0].purpose == "batch"
        assert files[0].expires_at == files[0].created_at + 30 * 86_400
        assert client.files.retrieve(files[0].id) == files[0]
        assert client.files.content(files[0].id).content == content
        assert [f.id for f in client.files.list(order="asc")] == [f.id for f in files]
        assert [f.id for f in client.files.list(limit=2)] == [f.id for f in files[::-1]], "pages follow"
        assert list(client.files.list(purpose="vision")) == []
        short = client.files.create(
            file=("s", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        assert short.expires_at == short.created_at + 3600
        assert client.files.delete(files[1].id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.content(files[1].id)
        for name, bad in {
            "purpose": {"file": ("a", b"x"), "purpose": "vision"},
            "file": {"file": ("a", b""), "purpose": "batch"},
            "expires_after.seconds": {
                "file": ("a", b"x"),
                "purpose": "batch",
                "expires_after": {"anchor": "created_at", "seconds": 5},
            },
        }.items():
            with pytest.raises(openai.BadRequestError) as refused:
                client.files.create(**bad)  # type: ignore[arg-type]
            assert refused.value.param == name
        with pytest.raises(openai.APIStatusError, match="larger than 2048") as large:
            client.files.create(file=("a", b"x" * 2049), purpose="batch")
        assert large.value.status_code == 413
        client.files.create(file=("a", b"x" * 2048), purpose="batch")
        with pytest.raises(openai.APIStatusError, match="delete some of them") as full:
            client.files.create(file=("a", b"x" * 2000), purpose="batch")
        assert full.value.status_code == 413
        assert httpx.post(f"{running.url}/v1/files", content=b"x").json()["error"]["param"] == "file"
        for query in ("limit=0", "limit=x", "order=up", "after=file-1"):
            assert httpx.get(f"{running.url}/v1/files?{query}").status_code == 400
        for path in ("file-..%2f..%2fsecret", "..", "file-" + "0" * 32):
            assert httpx.get(f"{running.url}/v1/files/{path}/content").status_code == 404
    file_names = [f.name for f in (tmp_path / "files").iterdir()]
    assert len(file_names) == 2 * 4
    assert not [name for name in file_names if name.endswith(".new")]


def test_files_expire_and_what_a_crash_left_is_cleared(tmp_path: Path) -> None:
    now = 1000.0
    store = FileStore(tmp_path, days=1, bytes_per_owner=100, clock=lambda: now)
    store.open()
    file = store.add("me", "a", io.BytesIO(b"one"), 3)
    (tmp_path / "file-orphan.data").write_bytes(b"half")
    (tmp_path / "file-orphan.data.new").write_bytes(b"half")
    store = FileStore(tmp_path, days=1, bytes_per_owner=100, clock=lambda: now)
    store.open()
    assert store.get(file.id, "me") == file
    assert len(list(tmp_path.iterdir())) == 2
    now += 86_400
    with pytest.raises(Exception, match="no file"):
        store.get(file.id, "me")
    store.drop_expired()
    assert list(tmp_path.iterdir()) == []


def _fake(*_: object) -> FakeEngine:
    return FakeEngine()


@pytest.mark.parametrize(
    ("lines", "code", "line"),
    [
        ([], "empty_file", None),
        ([_line("a"), "text"], "invalid_json_line", 2),
        ([_line("a") | {"method": "GET"}], "invalid_method", 1),
        ([_line("a", url="/v1/completions")], "mismatched_url", 1),
        ([_line("a"), _line("a")], "duplicate_custom_id", 2),
        ([_line("a") | {"custom_id": 5}], "invalid_custom_id", 1),
        ([_line("a") | {"body": []}], "invalid_body", 1),
        ([_line("a") | {"more": 1}], "unknown_field", 1),
        ([_line("a", model="gpt")], "model_not_found", 1),
        ([_line("a", stream=True)], "stream_unsupported", 1),
        ([_line("a", user="x" * 9000)], "line_too_long", 1),
        ([_line(str(i)) for i in range(4)], "too_many_lines", None),
    ],
)
def test_faults_of_an_input_file(tmp_path: Path, lines: list[Any], code: str, line: int | None) -> None:
    path = tmp_path / "in"
    path.write_bytes(_jsonl(lines))
    _, errors = read_lines(path, LineRules(CHAT, ("fake",), max_lines=3, max_body_bytes=1024))
    assert [(error.code, error.line) for error in errors] == [(code, line)]


def test_faulty_batches_fail_and_say_where(tmp_path: Path) -> None:
    with serving(_settings(tmp_path), load=_fake) as running:
        client = running.client
        file = client.files.create(file=("x", b'{"no": 1}\n\nnot json\n'), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        done = _ended(client, batch)
        assert done.status == "failed"
        assert done.errors is not None
        assert [(e.line, e.code) for e in done.errors.data or ()] == [
            (1, "unknown_field"), (3, "invalid_json_line"),
        ]  # fmt: skip
        good: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
        for change, param in (
            ({"input_file_id": "file-none"}, "input_file_id"),
            ({"endpoint": "/v1/responses"}, "endpoint"),
            ({"completion_window": "1h"}, "completion_window"),
            ({"metadata": {"a": "x" * 600}}, "metadata.a"),
            ({"invented": 1}, "invented"),
        ):
            answer = httpx.post(f"{running.url}/v1/batches", json=good | change)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"]["param"] == param
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
        assert httpx.get(f"{running.url}/v1/batches/batch_..%2fx").status_code == 404


def test_a_key_sees_nothing_of_another_key(tmp_path: Path) -> None:
    named = KeySettings(name="alice", key=SecretStr("k-alice"))
    settings = _settings(tmp_path, api_keys=(SecretStr("k-1"), SecretStr("k-2")), keys=(named,))

    def client_of(running: Running, key: str) -> OpenAI:
        return OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0)

    with serving(settings, load=_fake) as running:
        owner = client_of(running, "k-2")
        batch = _ended(owner, _begin(owner, [_line("a")]))
        assert batch.output_file_id is not None
        for key in ("k-1", "k-alice"):
            other = client_of(running, key)
            assert list(other.files.list()) == []
            assert list(other.batches.list()) == []
            for file_id in (batch.input_file_id, batch.output_file_id):
                with pytest.raises(openai.NotFoundError):
                    other.files.retrieve(file_id)
                with pytest.raises(openai.NotFoundError):
                    other.files.content(file_id)
                with pytest.raises(openai.NotFoundError):
                    other.files.delete(file_id)
            with pytest.raises(openai.NotFoundError):
                other.batches.retrieve(batch.id)
            with pytest.raises(openai.NotFoundError):
                other.batches.cancel(batch.id)
            with pytest.raises(openai.BadRequestError):
                other.batches.create(
                    input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"
                )
        with pytest.raises(openai.AuthenticationError):
            client_of(running, "k-3").files.list()
    # The first key is withdrawn: the second one is now the first of the list, and sees its own still.
    fewer = settings.model_copy(update={"api_keys": (SecretStr("k-2"), SecretStr("k-new"))})
    with serving(fewer, load=_fake) as running:
        assert client_of(running, "k-2").batches.retrieve(batch.id).status == "completed"
        assert list(client_of(running, "k-new").batches.list()) == []
        assert (tmp_path / "batches.lock").exists()
        with serving(fewer, load=_fake) as second:
            refused = httpx.get(f"{second.url}/v1/files", headers={"Authorization": "Bearer k-2"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "batches_unavailable")


class _Moody(FakeEngine):
    """Full, then failing, then well; it notes the priority of each request."""

    def __init__(self) -> None:
        super().__init__(pause=0.002)
        self.moods: list[Exception] = []
        self.priorities: dict[str, int] = {}

    def submit(self, generation: Generation) -> Submission:
        if self.moods:
            raise self.moods.pop()
        text = "".join(map(chr, generation.prompt_ids))
        if text == "poison":
            raise EngineUnavailable("the engine failed")
        self.priorities[text] = generation.priority
        return super().submit(generation)


def test_lines_wait_their_turn_and_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtrace_inference.batches.runner._LONGEST_PAUSE_SECONDS", 0.01)
    engine = _Moody()
    limited = KeySettings(name="k", key=SecretStr("none"), tokens_per_minute=600, priority=10)
    with serving(_settings(tmp_path, keys=(limited,)), load=lambda *_: engine) as running:
        client = running.client
        engine.moods = [EngineFull("full"), EngineUnavailable("rebuilding"), EngineFull("full")]
        lines = [_line(f"l{i}", max_tokens=8) for i in range(6)]
        lines += [_line("poison"), _line("huge", max_tokens=900)]
        done = _ended(client, _begin(client, lines))
        assert len(_read(client, done.output_file_id)) == 6
        codes = {
            e["custom_id"]: e["response"]["body"]["error"]["code"] for e in _read(client, done.error_file_id)
        }
        assert codes == {"poison": "engine_unavailable", "huge": "rate_limit_exceeded"}
        client.chat.completions.create(
            model="fake", messages=[{"role": "user", "content": "me"}], extra_body={"priority": 10}
        )
        mine = engine.priorities.pop("me")
        assert all(priority > mine for priority in engine.priorities.values())
        assert "llmtrace_inference_batch_lines_total" in httpx.get(f"{running.url}/metrics").text


def test_interactive_requests_go_first(tmp_path: Path) -> None:
    """One place: while anybody waits for it, no line of a batch begins."""
    source = str(directory(MODEL))
    settings = InferenceSettings(data_dir=tmp_path, models={"tiny": source}, max_batch_requests=1)

    async def ask(url: str) -> int:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            upload = _jsonl([_line(f"b{i}", model="tiny", max_tokens=16, ignore_eos=True) for i in range(30)])
            file = await client.files.create(file=("in.jsonl", upload), purpose="batch")
            batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            for _ in range(500):
                if (await client.batches.retrieve(batch.id)).status != "validating":
                    break
                await asyncio.sleep(0.01)
            await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model="tiny",
                        messages=[{"role": "user", "content": f"m{i}"}],
                        max_tokens=60,
                        extra_body={"ignore_eos": True},
                    )
                    for i in range(10)
                )
            )
            mid = await client.batches.retrieve(batch.id)
            assert mid.request_counts is not None
            answered = mid.request_counts.completed
            for _ in range(2000):
                if (await client.batches.retrieve(batch.id)).status == "completed":
                    return answered
                await asyncio.sleep(0.02)
            raise AssertionError("the batch did not end")

    with serving(settings) as running:
        assert asyncio.run(ask(running.url)) < 20, "ten requests went by, not twenty lines"
        spans = running.exporter.get_finished_spans()
        servers = [s for s in spans if s.kind is SpanKind.SERVER]
        mine = [s for s in servers if "llmtrace.inference.batch.id" not in (s.attributes or {})]
        lines = [s for s in servers if "llmtrace.inference.batch.id" in (s.attributes or {})]
        assert (len(mine), len(lines)) == (10, 30)
        last_of_mine = max(s.end_time or 0 for s in mine)
        first_of_mine = min(s.start_time or 0 for s in mine)
        begun = [s for s in lines if first_of_mine < (s.start_time or 0) < last_of_mine]
        assert len(begun) <= 4, "no more than had looked for a place before the others came"


def test_a_batch_is_cancelled_and_keeps_what_is_answered(tmp_path: Path) -> None:
    with serving(_settings(tmp_path, max_open_batches=1), load=lambda *_: FakeEngine(pause=0.05)) as running:
        client = running.client
        batch = _begin(client, [_line(f"l{i}") for i in range(400)])

        def answered() -> int:
            counts = client.batches.retrieve(batch.id).request_counts
            return counts.completed if counts is not None else 0

        wait_until(lambda: answered() >= 3)
        with pytest.raises(openai.RateLimitError, match="under way"):
            _begin(client, [_line("b")])
        client.files.delete(batch.input_file_id)
        assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
        done = _ended(client, batch)
        assert done.status == "cancelled"
        assert done.request_counts is not None
        assert 3 <= done.request_counts.completed < 400
        assert len(_read(client, done.output_file_id)) == done.request_counts.completed
        assert done.error_file_id is None
        assert [b.id for b in client.batches.list(limit=1)] == [batch.id]


def test_a_model_that_is_gone_after_the_restart_costs_only_the_lines_that_are_left(tmp_path: Path) -> None:
    both = InferenceSettings(models={"fake": "x", "other": "x"}, data_dir=tmp_path)
    with serving(both, load=lambda *_: FakeEngine(pause=0.03)) as running:
        batch = _begin(running.client, [_line(f"l{i}", model="other") for i in range(60)])
        journal = tmp_path / "batches" / batch.id / "answers.jsonl"
        wait_until(lambda: len(list(records(journal))) >= 3)
    with serving(_settings(tmp_path, max_batch_lines=10), load=_fake) as running:
        done = _ended(running.client, batch)
        assert done.status == "completed"
        answers, faults = (_read(running.client, f) for f in (done.output_file_id, done.error_file_id))
        assert len(answers) >= 3
        assert {fault["response"]["status_code"] for fault in faults} == {404}
        assert len({a["custom_id"] for a in [*answers, *faults]}) == 60 == len(answers) + len(faults)
    assert [p.name for p in (tmp_path / "batches" / batch.id).iterdir()] == ["batch.json"]


def test_a_batch_past_its_window_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtrace_inference.batches.service.WINDOW_SECONDS", 1)
    with serving(_settings(tmp_path), load=lambda *_: FakeEngine(pause=0.1)) as running:
        client = running.client
        done = _ended(client, _begin(client, [_line(f"l{i}") for i in range(60)]))
        assert done.status == "expired"
        late = _read(client, done.error_file_id)
        answered = _read(client, done.output_file_id) if done.output_file_id is not None else []
        assert {e["error"]["code"] for e in late} == {"batch_expired"}
        assert len({a["custom_id"] for a in [*late, *answered]}) == 60 == len(late) + len(answered)


def test_spans_of_a_batch_link_its_lines_to_it(tmp_path: Path) -> None:
    with serving(_settings(tmp_path), load=_fake) as running:
        client = running.client
        header = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        batch = _begin(client, [_line("a"), _line("b")], extra_headers=header)
        _ended(client, batch)
        wait_until(lambda: any(s.name == f"batch {CHAT}" for s in running.exporter.get_finished_spans()))
        spans = running.exporter.get_finished_spans()
        (whole,) = [s for s in spans if s.name == f"batch {CHAT}"]
        assert format(whole.context.trace_id, "032x") == TRACE
        attributes = {
            k.removeprefix("llmtrace.inference.batch."): v for k, v in (whole.attributes or {}).items()
        }
        assert attributes == {
            "id": batch.id, "endpoint": CHAT, "resumed": False, "status": "completed",
            "lines": 2, "completed": 2, "failed": 0,
        }  # fmt: skip
        servers = [s for s in spans if s.kind is SpanKind.SERVER]
        assert {(s.attributes or {})["llmtrace.inference.batch.custom_id"] for s in servers} == {"a", "b"}
        for server in servers:
            # A span of its own trace: one inside a trace would not be counted as usage.
            assert server.parent is None
            assert [link.context for link in server.links] == [whole.context]
            assert (server.attributes or {})["openai.response.service_tier"] == "batch"


def test_the_async_client(tmp_path: Path) -> None:
    async def run(url: str) -> None:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            file = await client.files.create(file=("in.jsonl", _jsonl([_line("a")])), purpose="batch")
            batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            for _ in range(1000):
                batch = await client.batches.retrieve(batch.id)
                if batch.status == "completed":
                    break
                await asyncio.sleep(0.01)
            assert batch.output_file_id is not None
            answer = json.loads((await client.files.content(batch.output_file_id)).text)
            assert answer["response"]["body"]["choices"][0]["message"]["content"] == "hello"
            assert [b.id async for b in client.batches.list()] == [batch.id]
            assert (await client.files.delete(file.id)).deleted

    with serving(_settings(tmp_path), load=_fake) as running:
        asyncio.run(run(running.url))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.integers(0, 400))
def test_a_journal_cut_anywhere_keeps_its_whole_records(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cut: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"

    async def write(entries: list[dict[str, Any]]) -> None:
        journal = AnswerJournal(path)
        await asyncio.gather(*(journal.append(entry) for entry in entries))
        await journal.close()

    before = [{"line": i, "text": text} for i, text in enumerate(texts)]
    asyncio.run(write(before))
    assert list(records(path)) == before
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    whole_lines = whole[:cut].count(b"\n")
    asyncio.run(write([{"line": -1}]))
    assert list(records(path)) == [*before[:whole_lines], {"line": -1}]


SERVE = """
import sys, uvicorn
from llmtrace_inference.app import create_app
from llmtrace_inference.settings import InferenceSettings
from tests.inference.fakes import FakeEngine
settings = InferenceSettings.model_validate_json(sys.argv[1])
app = create_app(settings, load=lambda *_: FakeEngine(pause=0.002))
uvicorn.run(app, host="127.0.0.1", port=settings.port, log_level="warning", access_log=False)
"""


def test_after_sigkills_every_line_is_answered_exactly_once(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = _settings(tmp_path / "data", port=port, trace=False)
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", SERVE, settings.model_dump_json()])
        wait_until(lambda: _is_ready(port), 60)
        return process

    journal_path: Path | None = None
    process = start()
    earlier_ids: dict[int, str] = {}
    try:
        batch = _begin(client, [_line(f"l{i}") for i in range(150)])
        journal_path = tmp_path / "data" / "batches" / batch.id / "answers.jsonl"
        for aim in (30, 80):
            wait_until(lambda aim=aim: len(list(records(journal_path))) >= aim, 60)  # type: ignore[misc]
            process.kill()
            process.wait()
            ids_by_line = {r["line"]: r["answer"]["response"]["body"]["id"] for r in records(journal_path)}
            assert earlier_ids.items() <= ids_by_line.items(), "what was answered once is not answered again"
            earlier_ids = ids_by_line
            process = start()
        done = _ended(client, batch)
        assert done.status == "completed"
        answers = _read(client, done.output_file_id)
        assert sorted(a["custom_id"] for a in answers) == sorted(f"l{i}" for i in range(150))
        ids = {a["custom_id"]: a["response"]["body"]["id"] for a in answers}
        assert all(ids[f"l{number - 1}"] == answer_id for number, answer_id in earlier_ids.items())
    finally:
        process.kill()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    except httpx.TransportError:
        time.sleep(0.05)
        return False
