"""A WebSocket that responses of a model come over: each of them is a call, from what asked for it to its end.

The caller pays for a short look at each message, a reference to those that are kept, and a clock reading for
each piece of a response. Sound is never kept: a session lasts an hour, and most of it is that.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Final
from urllib.parse import parse_qsl

from opentelemetry.context import Context

from llmtrace import clock
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes
from llmtrace.wire.format import WireFormat
from llmtrace.wire.realtime.dialect import NOTHING, Dialect, Signal
from llmtrace.wire.realtime.session_frames import connection_frame, media_frame

from . import interceptor, open_streams
from .call import LlmCall
from .pending_messages import PendingMessages, one_line
from .runtime import Runtime

_SWITCHED: Final = 101
_LINES: Final = "application/x-ndjson"
_JSON: Final = "application/json"
_MOST_OPEN: Final = 256
#: What of a handshake's query is kept: keys and tokens stand there too.
_OF_MODEL: Final = frozenset({"model", "deployment"})
_serials: Final = count(1)
_NOTING: Final = swallow("noting a message of a WebSocket")
_ENDING: Final = swallow("ending the calls of a WebSocket")


class _Request:
    """See `call.CapturedRequest`: the messages that led to one response."""

    __slots__ = ("_address", "_connection", "frames", "headers", "path", "settings")

    def __init__(self, session: RealtimeSession, connection: bytes, settings: Sequence[bytes]) -> None:
        self._address = session.address
        self._connection = connection
        self.headers = session.headers
        self.path = session.path
        self.settings = settings
        self.frames: list[bytes] = []

    @property
    def body(self) -> bytes:
        return b"[" + b",".join((self._connection, *self.settings, *self.frames)) + b"]"

    def address(self) -> tuple[str, int]:
        return self._address


class _Response:
    """A response that is being made. ended_at: when its last piece came (perf_counter)."""

    __slots__ = ("call", "ended_at", "has_usage", "request")

    def __init__(self, call: LlmCall, request: _Request) -> None:
        self.call = call
        self.request = request
        self.has_usage = False
        self.ended_at: float | None = None

    def add(self, message: bytes) -> None:
        self.call.body.add(one_line(message) + b"\n")

    def end(self, *, early: bool = False, quiet: bool = False) -> None:
        if open_streams.claim(self.call):
            self.call.end(early=early, quiet=quiet, at=self.ended_at)


class RealtimeSession:
    """What is known of one connection. Thread-safe; nothing is raised outside strict mode."""

    def __init__(
        self,
        runtime: Runtime,
        dialect: Dialect,
        target: str,
        headers: Mapping[str, str],
        address: tuple[str, int],
    ) -> None:
        """Begin it where the connection is opened. target, headers: of the handshake, its query included."""
        self.path, _, query = target.partition("?")
        self.address = address
        self.headers = headers
        self._runtime = runtime
        self._dialect = dialect
        self._sent, self._received = dialect.sent, dialect.received
        self._output = dialect.output + b"\n"
        self._query = {name: value for name, value in parse_qsl(query) if name in _OF_MODEL}
        self._lock = threading.RLock()
        self._opened_in = context_attributes.here()
        self._input_in: Context | None = None
        self._received_headers: Mapping[str, str] = {"content-type": _LINES}
        self._settings: dict[str, bytes] = {}
        self._pending = PendingMessages(runtime.config.max_body_bytes)
        self._media: dict[str, int] = {}
        self._asked: deque[_Response] = deque()
        self._open: OrderedDict[str, _Response] = OrderedDict()
        self._over: _Response | None = None
        """All of it came but its usage."""

    def answered(self, status: int, headers: Iterable[tuple[str, str]], body: bytes | None) -> None:
        """The handshake was answered; where it was refused, that is a call that failed."""
        with _NOTING, self._lock:
            known = {str(name).lower(): str(value) for name, value in headers}
            if status == _SWITCHED:
                # Limits on the rate are those of the handshake: they say nothing of a response.
                lasting = {name: value for name, value in known.items() if "ratelimit" not in name}
                self._received_headers = {**lasting, "content-type": _LINES}
                return
            _, call = self._call(self._dialect.format, self._opened_in)
            if call.span.recording:
                call.receive(status, known, body or b"")

    def sent(self, message: bytes) -> None:
        """A whole message is handed to the connection; called where the program does so."""
        with _NOTING:
            signal = self._sent(message)
            if signal is not NOTHING:
                with self._lock:
                    self._note_sent(signal, message)

    def received(self, message: bytes) -> None:
        """A whole message came, on whichever thread."""
        with _NOTING:
            signal = self._received(message)
            if signal is not NOTHING:
                with self._lock:
                    self._note_received(signal, message)

    def closed(self, error: BaseException | None) -> None:
        """The connection is over. error: what broke it; None where the program left."""
        with _ENDING, self._lock:
            self._end_over()
            responses = [*self._open.values(), *self._asked]
            self._open.clear()
            self._asked.clear()
            for response in responses:
                if error is None:
                    response.end(early=True)
                elif open_streams.claim(response.call):
                    response.call.fail(error)

    def garbage_collected(self) -> None:
        """Nobody has the connection any more."""
        with suppress(Exception):  # while the interpreter exits, not even logging can be relied on
            for response in [*self._open.values(), *self._asked]:
                response.end(early=True, quiet=True)
            if self._over is not None:
                self._over.end(quiet=True)

    def _note_sent(self, signal: Signal, message: bytes) -> None:
        if signal.kind == "media":
            self._media[signal.modality] = self._media.get(signal.modality, 0) + signal.size
        elif signal.kind == "cleared":
            self._media.clear()
        elif signal.kind == "session":
            self._settings["sent"] = one_line(message)
        elif signal.kind == "input":
            self._pending.add(message)
            self._input_in = context_attributes.here()
        elif self._dialect.implicit and self._asked:
            self._asked[-1].request.frames.append(one_line(message))
        else:
            # What is over stays so: its usage may still be on its way.
            if self._dialect.implicit:
                self._commit_media()
            response = self._begin(self._dialect.format, None)
            if response is not None:
                response.request.frames.extend([*self._pending.taken(), one_line(message)])
                self._asked.append(response)

    def _note_received(self, signal: Signal, message: bytes) -> None:
        kind = signal.kind
        if kind == "output":
            if (response := self._response_of(signal)) is not None:
                response.call.body.add(self._output)
        elif kind in {"piece", "remark", "over"}:
            self._note_piece(signal, message)
        elif kind == "begun":
            if (response := self._opened(signal.response_id)) is not None:
                response.add(message)
        elif kind == "session":
            self._settings["received"] = one_line(message)
        elif kind == "input":
            self._pending.add(message)
        elif kind == "committed":
            self._commit_media()
            self._pending.add(message)
        elif kind == "call":
            self._note_call(message)
        elif kind == "usage":
            self._note_usage(message)
        else:
            self._note_error(signal, message)

    def _note_piece(self, signal: Signal, message: bytes) -> None:
        is_next = signal.kind == "piece" or (signal.kind == "over" and bool(self._asked))
        if self._over is not None and not is_next:
            if signal.has_usage:
                self._note_usage(message)
            return
        response = self._response_of(signal)
        if response is None:
            return
        response.add(message)
        response.has_usage = response.has_usage or signal.has_usage
        if signal.kind == "over":
            for response_id in [key for key, value in self._open.items() if value is response]:
                del self._open[response_id]
            response.ended_at = clock.perf_counter()
            self._over = response
            if response.has_usage or not self._dialect.usage_apart:
                self._end_over()

    def _response_of(self, signal: Signal) -> _Response | None:
        """The open response that a message belongs to; it begins with it where that is how they begin."""
        if self._over is not None:
            self._end_over()
        response = self._open.get(signal.response_id)
        if response is None and len(self._open) == 1:
            response_id, only = next(iter(self._open.items()))
            response = None if response_id and signal.response_id else only
        if response is None and signal.kind != "remark":
            begins = self._asked or self._dialect.implicit or signal.kind == "over"
            response = self._opened(signal.response_id) if begins else None
        return response

    def _opened(self, response_id: str) -> _Response | None:
        """A response begins: what was asked for first, else one that the server began by itself."""
        self._end_over()
        if response_id in self._open:
            return self._open[response_id]
        if self._dialect.implicit:
            self._commit_media()
        response = self._asked.popleft() if self._asked else None
        if response is None:
            here, self._input_in = self._input_in or self._opened_in, None
            response = self._begin(self._dialect.format, here)
        if response is None:
            return None
        response.request.settings = [*self._settings.values()]
        response.request.frames.extend(self._pending.taken())
        self._open[response_id] = response
        if len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)[1].end(early=True)
        return response

    def _begin(self, wire_format: WireFormat, here: Context | None) -> _Response | None:
        """Begin a response; here: in which context, None for the one that is active."""
        request, call = self._call(wire_format, here)
        if not call.span.recording:
            return None
        call.receive(_SWITCHED, self._received_headers, None, encoded=False)
        open_streams.add(call)
        return _Response(call, request)

    def _call(self, wire_format: WireFormat, here: Context | None) -> tuple[_Request, LlmCall]:
        connection = connection_frame(next(_serials), self._query)
        request = _Request(self, connection, [*self._settings.values()])
        return request, interceptor.begin_call(self._runtime, wire_format, request, here)

    def _note_call(self, message: bytes) -> None:
        """A call of another model in one message, which is also a part of what led to the next response."""
        self._pending.add(message)
        for response in self._open.values():
            response.request.frames.append(one_line(message))
        if self._dialect.call_format is not None:
            _, call = self._call(self._dialect.call_format, self._opened_in)
            if call.span.recording:
                call.receive(_SWITCHED, {**self._received_headers, "content-type": _JSON}, message)

    def _note_usage(self, message: bytes) -> None:
        response = self._over or next(reversed(self._open.values()), None)
        if response is not None:
            response.add(message)
            response.has_usage = True
            self._end_over()

    def _note_error(self, signal: Signal, message: bytes) -> None:
        """The response that is at fault ends; where none is known to be, those asked for have it, if they
        never begin.
        """
        mark = signal.response_id.encode()
        at_fault = next((item for item in self._asked if mark and mark in item.request.frames[-1]), None)
        if at_fault is None and signal.kind == "failed":
            at_fault = next(iter((*self._asked, *self._open.values())), None)
        if at_fault is None:
            for response in self._asked:
                response.add(message)
            return
        at_fault.add(message)
        if at_fault in self._asked:
            self._asked.remove(at_fault)
        for response_id in [key for key, value in self._open.items() if value is at_fault]:
            del self._open[response_id]
        at_fault.end()

    def _end_over(self) -> None:
        response, self._over = self._over, None
        if response is not None:
            response.end()

    def _commit_media(self) -> None:
        """What was sent of sound and pictures until now is input."""
        for modality, size in self._media.items():
            self._pending.add(media_frame(modality, size))
        self._media.clear()
