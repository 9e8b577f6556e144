"""One batch from its first line to its last: validate, answer behind everybody else, leave the files."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode, Tracer
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.responses import Response

from llmtrace import semconv
from llmtrace_inference.engine.interface import Engine
from llmtrace_inference.protocol.errors import SHOULD_RETRY
from llmtrace_inference.telemetry.request_record import BatchItem

from .batch_store import BatchState, BatchStore, Usage
from .file_store import FileStore
from .input_lines import InputError, InputLine, LineRules, body_of, read_lines
from .journal import AnswerJournal, records

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 30.0
_ENGINE_FAULTS = 3
"""So often may the engine fail on a line before the line is held to be the reason."""

Answer = Callable[[str, bytes, BatchItem], Awaitable[Response]]
"""(path, body, the line it is) → the answer the service gives to such a request."""


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What all batches share. `slots` bounds the lines in work, all batches together."""

    batches: BatchStore
    files: FileStore
    engines: Mapping[str, Engine | None]
    slots: asyncio.Semaphore
    tracer: Callable[[], Tracer | None]
    count: Callable[[str], None]
    """Called with "completed" or "failed" for each line that was answered."""
    max_lines: int
    max_body_bytes: int


class BatchRun:
    """Runs one batch to its end. Cancelling `run` leaves it to be resumed by another one."""

    def __init__(self, context: BatchContext, batch_id: str, answer: Answer) -> None:
        self._context = context
        self._id = batch_id
        self._answer = answer
        self._stop_requested = asyncio.Event()
        self._journal_path = context.batches.directory(batch_id) / "answers.jsonl"
        self._span: Span | None = None

    @property
    def state(self) -> BatchState:
        return self._context.batches.current(self._id)

    def stop(self) -> None:
        """End it early, by what it has so far."""
        self._stop_requested.set()

    async def run(self) -> None:
        resumed = self.state.in_progress_at is not None
        self._begin_span(resumed=resumed)
        try:
            lines = await self._lines()
            if lines is not None:
                await self._answer_lines(lines)
                await self._finish(lines)
        except Exception:
            logger.exception("batch %s failed", self._id)
            error = InputError("internal_error", "internal error: the service's log has the details")
            await self._fail([error], self.state.total)
        finally:
            self._end_span()

    async def _change(self, **changes: Any) -> None:
        self._context.batches.change(self._id, **changes)
        await asyncio.to_thread(self._context.batches.save, self._id)

    async def _fail(self, errors: list[InputError], total: int) -> None:
        bodies = tuple(error.body() for error in errors)
        await self._change(status="failed", failed_at=_now(), errors=bodies, total=total)
        await asyncio.to_thread(self._remove_working_files)

    def _remove_working_files(self) -> None:
        for path in (self._journal_path, self._input):
            path.unlink(missing_ok=True)

    # --- the lines --------------------------------------------------------------------------------------

    async def _lines(self) -> list[InputLine] | None:
        """The lines of the input file; None where it has errors, and the batch is then failed."""
        state, context = self.state, self._context
        # What held when it began must not fail it now, after a restart with other settings.
        models = tuple(context.engines) if state.status == "validating" else None
        limit = context.max_lines if state.status == "validating" else sys.maxsize
        rules = LineRules(state.endpoint, models, limit, context.max_body_bytes)
        lines, errors = await asyncio.to_thread(read_lines, self._input, rules)
        if errors:
            await self._fail(errors, len(lines))
            return None
        requested = {line.model for line in lines}
        model = requested.pop() if len(requested) == 1 else None
        context.batches.change(self._id, total=len(lines), model=model)
        if self.state.status == "validating":
            await self._change(status="in_progress", in_progress_at=_now())
        return lines

    @property
    def _input(self) -> Path:
        """A copy of its own, so that the file may be deleted while the batch runs."""
        return self._context.batches.directory(self._id) / "input.jsonl"

    async def _answer_lines(self, lines: list[InputLine]) -> None:
        if self.state.status in ("finalizing", "cancelling"):
            return
        answered = await self._read_back()
        journal = await asyncio.to_thread(AnswerJournal, self._journal_path)
        tasks: set[asyncio.Task[None]] = set()
        try:
            async with asyncio.TaskGroup() as group:  # what goes wrong with one ends them all
                watch = group.create_task(self._cut_short(tasks))
                for line in lines:
                    if line.number in answered:
                        continue
                    await self._context.slots.acquire()
                    task = group.create_task(self._answer_line(line, journal))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    task.add_done_callback(lambda _: self._context.slots.release())
                    if self._should_end:
                        break
                while tasks:
                    await asyncio.wait(set(tasks))
                watch.cancel()
        finally:
            await journal.close()

    async def _cut_short(self, tasks: set[asyncio.Task[None]]) -> None:
        """At the end of the batch's time, or when it is cancelled, drop the lines in work."""
        await self._pause(self.state.expires_at - time.time())
        for task in tasks:
            task.cancel()

    async def _read_back(self) -> set[int]:
        """The lines that were answered before, by number; counts them."""

        def read() -> tuple[set[int], int, Usage]:
            answered, failed, usage = set(), 0, Usage()
            for record in records(self._journal_path):
                answered.add(record["line"])
                failed += not record["ok"]
                usage = usage.plus(_usage_of(record))
            return answered, failed, usage

        answered, failed, usage = await asyncio.to_thread(read)
        self._context.batches.change(self._id, completed=len(answered) - failed, failed=failed, usage=usage)
        return answered

    async def _wait_for_empty_queue(self, line: InputLine) -> None:
        """Wait until no other request waits for the model."""
        while not self._should_end:
            if line.model not in self._context.engines:
                return  # not any more: the answer will say so
            engine = self._context.engines[line.model]
            if engine is not None and not engine.stats().waiting:
                return
            await self._pause(_POLL_SECONDS)

    @property
    def _should_end(self) -> bool:
        return self._stop_requested.is_set() or time.time() >= self.state.expires_at

    async def _answer_line(self, line: InputLine, journal: AnswerJournal) -> None:
        body = await asyncio.to_thread(body_of, self._input, line)
        span = self._span.get_span_context() if self._span is not None else None
        item = BatchItem(self._id, line.custom_id, span)
        faults = 0
        while True:
            await self._wait_for_empty_queue(line)
            if self._should_end:
                return
            response = await self._answer(self.state.endpoint, body, item)
            answer = json.loads(bytes(response.body))
            faults += response.status_code == 503 and answer["error"]["code"] == "engine_unavailable"
            if not _is_worth_another_try(response) or faults >= _ENGINE_FAULTS:
                break
            retry_after = float(response.headers.get("retry-after", 1))
            await self._pause(min(retry_after, _LONGEST_PAUSE_SECONDS))
        record = _record(self._id, line, response.status_code, answer)
        await journal.append(record)
        self._count(record)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._stop_requested.wait()
        except TimeoutError:
            return

    def _count(self, record: dict[str, Any]) -> None:
        state, which = self.state, "completed" if record["ok"] else "failed"
        self._context.count(which)
        # The journal has it; the state on disk need not be written for each line.
        self._context.batches.change(
            self._id,
            **{which: getattr(state, which) + 1},
            usage=state.usage.plus(_usage_of(record)),
        )

    # --- the end ----------------------------------------------------------------------------------------

    async def _finish(self, lines: list[InputLine]) -> None:
        state = self.state
        if state.status == "in_progress":
            status = "cancelling" if self._stop_requested.is_set() else "finalizing"
            await self._change(status=status, **{f"{status}_at": _now()})
        counts = await asyncio.to_thread(self._write_files, lines)
        state = self.state
        if state.status == "cancelling":
            end = "cancelled"
        else:
            end = "completed" if counts["answered"] == len(lines) else "expired"
        totals = {key: counts[key] for key in ("completed", "failed", "usage", "has_output", "has_errors")}
        await self._change(status=end, **{f"{end}_at": _now()}, **totals)
        await asyncio.to_thread(self._remove_working_files)

    def _write_files(self, lines: list[InputLine]) -> dict[str, Any]:
        """Make the output and the error file from the journal: each answered line once, in one of them."""
        state, context = self.state, self._context
        remaining = {line.number: line for line in lines}
        sizes = {True: 0, False: 0}
        usage = Usage()
        directory = context.batches.directory(self._id)
        with tempfile.TemporaryFile(dir=directory) as good, tempfile.TemporaryFile(dir=directory) as bad:
            for record in records(self._journal_path):
                if remaining.pop(record["line"], None) is None:
                    continue
                (good if record["ok"] else bad).write(_jsonl(record["answer"]))
                sizes[record["ok"]] += 1
                usage = usage.plus(_usage_of(record))
            expired = list(remaining.values()) if state.status != "cancelling" else []
            for line in expired:
                bad.write(_jsonl(_unanswered(self._id, line)))
            for file, file_id, name in (
                (good, state.output_file_id, "output"),
                (bad, state.error_file_id, "error"),
            ):
                if file.tell():
                    file.seek(0)
                    filename = f"{self._id}_{name}.jsonl"
                    context.files.keep_output(file_id, state.owner, filename, file, state.output_seconds)
        return {
            "answered": sizes[True] + sizes[False],
            "completed": sizes[True],
            "failed": sizes[False] + len(expired),
            "usage": usage,
            "has_output": bool(sizes[True]),
            "has_errors": bool(sizes[False] or expired),
        }

    # --- the span ---------------------------------------------------------------------------------------

    def _begin_span(self, *, resumed: bool) -> None:
        tracer, state = self._context.tracer(), self.state
        if tracer is None:
            return
        propagator = TraceContextTextMapPropagator()
        span = tracer.start_span(
            f"batch {state.endpoint}",
            context=propagator.extract({"traceparent": state.traceparent}),
            attributes={
                semconv.INFERENCE_BATCH_ID: state.id,
                semconv.INFERENCE_BATCH_ENDPOINT: state.endpoint,
                semconv.INFERENCE_BATCH_RESUMED: resumed,
            },
        )
        if not state.traceparent:
            carrier: dict[str, str] = {}
            propagator.inject(carrier, context=set_span_in_context(span))
            # Saved with the status.
            self._context.batches.change(self._id, traceparent=carrier["traceparent"])
        self._span = span

    def _end_span(self) -> None:
        span, state = self._span, self.state
        if span is None:
            return
        span.set_attribute(semconv.INFERENCE_BATCH_STATUS, state.status)
        span.set_attribute(semconv.INFERENCE_BATCH_LINES, state.total)
        span.set_attribute(semconv.INFERENCE_BATCH_COMPLETED, state.completed)
        span.set_attribute(semconv.INFERENCE_BATCH_FAILED, state.failed)
        if state.status in ("failed", "expired"):
            reason = str(state.errors[0]["message"]) if state.errors else "the completion window is over"
            span.set_status(Status(StatusCode.ERROR, reason))
        span.end()


def _now() -> int:
    return int(time.time())


def _is_worth_another_try(response: Response) -> bool:
    return response.status_code in (429, 503) and response.headers.get(SHOULD_RETRY) != "false"


def _record(batch_id: str, line: InputLine, status: int, body: Any) -> dict[str, Any]:
    """What the journal keeps of an answer; `answer` is its line in the output or the error file."""
    request_id = f"batch_req_{batch_id.removeprefix('batch_')}_{line.number}"
    response = {"status_code": status, "request_id": body.get("id") or request_id, "body": body}
    answer = {"id": request_id, "custom_id": line.custom_id, "response": response, "error": None}
    return {"line": line.number, "ok": status < 400, "answer": answer}


def _unanswered(batch_id: str, line: InputLine) -> dict[str, Any]:
    message = "This request could not be executed before the completion window expired."
    return {
        "id": f"batch_req_{batch_id.removeprefix('batch_')}_{line.number}",
        "custom_id": line.custom_id,
        "response": None,
        "error": {"code": "batch_expired", "message": message},
    }


def _usage_of(record: dict[str, Any]) -> dict[str, Any]:
    return record["answer"]["response"]["body"].get("usage") or {}


def _jsonl(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
