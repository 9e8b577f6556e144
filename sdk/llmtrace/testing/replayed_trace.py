"""A recorded trace, played to the program again: its requests get the recorded answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, Self
from unittest import mock

from opentelemetry.trace import StatusCode

from llmtrace import semconv
from llmtrace.common import providers
from llmtrace.wire.format import WireFormat
from llmtrace.wire.framing import decode
from llmtrace.wire.registry import recognise

from .entry import FillIn, run_entry
from .memory import Captured
from .rebuild import answers
from .rebuild.recorded import NotRebuildable, RecordedCall
from .redirect import environment, redirected
from .replay import Answer, Received, ReplayServer
from .request_differences import difference, likeness, sent_call

Status = Literal["ok", "recovered", "failed"]


class ReplayDifference(UserWarning):
    """A request is not the recorded one."""


class ReplayedTrace:
    """The calls of a trace, and what became of them when the program ran again.

    Made by the fixture `replayed`. `run` calls the program; then `status` is what a trace of it would show:
    `ok`, `recovered` (a step failed, the program did not) or `failed`.
    """

    def __init__(
        self,
        calls: Sequence[Mapping[str, Any]],
        captured: Captured,
        *,
        beyond: Mapping[str, Any] | None = None,
    ) -> None:
        """calls: recorded calls in the order in which they began, fields of `RecordedCall`. beyond: the
        answer for what is asked after all of them; without it such a request fails.
        """
        self._calls = [RecordedCall(**call) for call in calls]
        self._unused = list(range(len(self._calls)))
        self._beyond = None if beyond is None else RecordedCall(**beyond)
        self._captured = captured
        self._lock = threading.Lock()
        self._differences: list[str] = []
        self._has_failed = False
        self.unanswered: list[str] = []
        """Requests that no answer was recorded for, and hosts that were to be reached."""

    @classmethod
    @contextmanager
    def started(
        cls,
        calls: Sequence[Mapping[str, Any]],
        captured: Captured,
        *,
        beyond: Mapping[str, Any] | None = None,
    ) -> Iterator[Self]:
        """Within the block LLM calls of this process get the recorded answers, and no other leaves it."""
        trace = cls(calls, captured, beyond=beyond)
        with (
            ReplayServer(respond=trace._respond) as server,
            mock.patch.dict("os.environ", environment(server.url)),
            redirected(server.url, trace._refuse),
        ):
            yield trace

    def run(self, entry: str | FillIn, arguments: Mapping[str, Any] | FillIn) -> Any:
        """Call the program; what it returns (of generators a list) or raises.

        Raises AssertionError where it made requests that no answer was recorded for, though it went on.
        """
        __tracebackhide__ = True
        try:
            result = run_entry(entry, arguments)
        except BaseException:
            self._has_failed = True
            raise
        if self.unanswered:
            raise AssertionError("\n".join(self.unanswered))
        return result

    @property
    def status(self) -> Status:
        """What the trace of the run shows."""
        if self._has_failed:
            return "failed"
        failed = [
            span
            for span in self._captured.spans()
            if span.status.status_code is StatusCode.ERROR
            and (span.attributes or {}).get(semconv.COUNTED) is not False
        ]
        return "recovered" if failed else "ok"

    @property
    def differences(self) -> list[str]:
        """Where requests differ from the recorded ones, and recorded calls that were not made."""
        with self._lock:
            missing = [
                f"recorded request {number + 1} was not made: "
                f"{self._calls[number].operation} {self._calls[number].model}"
                for number in self._unused
            ]
            return [*self._differences, *missing]

    def _refuse(self, address: str) -> str:
        message = (
            f"a replayed trace has no network, and the program wants to reach {address}, which is no LLM "
            "call: replace in the test what asks there (monkeypatch), or answer it on 127.0.0.1"
        )
        with self._lock:
            self.unanswered.append(message)
        return message

    def _respond(self, request: Received) -> Answer:
        path, body = request.path, request.body
        bare_path = path.partition("?")[0]
        wire_format = recognise(bare_path, body, request.method)
        if wire_format is None:
            return self._unanswered(None, f"{request.method} {bare_path} is no call of a model")
        translation = wire_format.request(decode.decoded_request(body), bare_path, True)
        sent = sent_call(translation, wire_format.operation)
        with self._lock:
            call = self._next(sent)
        if call is None:
            what = f"{sent.operation} {sent.model}".strip()
            return self._unanswered(
                wire_format, f"no answer was recorded for this request ({what}): all recorded ones are given"
            )
        try:
            asked = providers.of_address(request.headers.get("host", "").partition(":")[0], bare_path)
            answer = answers.answer(call, wire_format, path, body, asked)
        except NotRebuildable as error:
            return self._unanswered(wire_format, str(error))
        if answer.status >= 400:  # no client needs to wait here before it tries again
            answer = replace(answer, headers={**answer.headers, "retry-after-ms": "1"})
        return answer

    def _unanswered(self, wire_format: WireFormat | None, message: str) -> Answer:
        with self._lock:
            self.unanswered.append(message)
        return answers.refusal(wire_format, message)

    def _next(self, sent: RecordedCall) -> RecordedCall | None:
        """The recorded call that a request repeats; those of another operation are none."""
        fitting = [number for number in self._unused if self._calls[number].operation == sent.operation]
        if not fitting:
            # The same model may be asked by another API since.
            generations = {"chat", "text_completion", "generate_content"}
            if sent.operation in generations:
                fitting = [number for number in self._unused if self._calls[number].operation in generations]
        if not fitting:
            if self._beyond is not None:
                self._differences.append(f"a request beyond the recorded ones: {sent.operation} {sent.model}")
            return self._beyond
        number = max(fitting, key=lambda number: likeness(self._calls[number], sent))
        self._unused.remove(number)
        if text := difference(self._calls[number], sent, number + 1):
            self._differences.append(text)
        return self._calls[number]
