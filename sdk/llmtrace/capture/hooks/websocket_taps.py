"""What the hooks on libraries of WebSockets share: which connections are watched, and their messages.

A connection that is watched gets a class of its own below the one it had: it stays what it was for
`isinstance` and in every method, and no other connection pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from opentelemetry import trace

from llmtrace.capture import interceptor, propagation
from llmtrace.capture.realtime import RealtimeSession
from llmtrace.internal_errors import swallow
from llmtrace.spans import context_attributes
from llmtrace.wire.realtime import dialects

from .plain_request import LowerCaseHeaders

TAP: Final = "_llmtrace_tap"
"""The attribute of a watched connection."""
NOTING: Final = swallow("noting a frame of a WebSocket")
_CONTINUATION: Final = 0
_DATA: Final = frozenset({1, 2})
_LONGEST: Final = 4 * 2**20
Methods = tuple[Callable[..., Any], ...]
"""What goes before a class's own methods of the same names."""
_classes: Final[dict[tuple[Callable[[Any], Methods], type], type]] = {}


class Tap:
    """Held by a connection that is watched, and by nothing else: with it, it is garbage."""

    __slots__ = ("_received", "_sent", "is_over", "session")

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.is_over = False
        self._sent: list[bytes] = []
        self._received: list[bytes] = []

    def sent(self, opcode: int, data: Any, fin: bool) -> None:
        """A frame is handed to the connection; data: text or bytes."""
        if fin and opcode in _DATA:
            self.session.sent(data if type(data) is bytes else _bytes(data))
            return
        with NOTING:
            if (message := _whole(self._sent, opcode, data, fin)) is not None:
                self.session.sent(message)

    def received(self, opcode: int, data: Any, fin: bool) -> None:
        """A frame came."""
        if fin and opcode in _DATA:
            self.session.received(data if type(data) is bytes else _bytes(data))
            return
        with NOTING:
            if (message := _whole(self._received, opcode, data, fin)) is not None:
                self.session.received(message)

    def closed(self, error: BaseException | None) -> None:
        """The connection is over; see `RealtimeSession.closed`. What is said again is not heard."""
        if not self.is_over:
            self.is_over = True
            self.session.closed(error)

    def __del__(self) -> None:
        if not self.is_over:
            self.session.garbage_collected()


def opened(
    target: str,
    headers: Iterable[tuple[Any, Any]],
    address: Callable[[], tuple[str, int]],
    set_header: propagation.SetHeader,
) -> Tap | None:
    """Where a connection is opened: what watches it, if it is one to a model. The handshake gets the context.

    target: path and query.
    """
    dialect = dialects.of_path(target.partition("?")[0])
    runtime = interceptor.recording() if dialect is not None else None
    if dialect is None or runtime is None:
        return None
    known = LowerCaseHeaders(headers)
    here = trace.get_current_span(context_attributes.here()).get_span_context()
    host, port = address()
    if here.is_valid and "traceparent" not in known:
        propagation.set_trace_headers(here, set_header)
        propagation.set_baggage_header(runtime.config, host, set_header)
    return Tap(RealtimeSession(runtime, dialect, target, known, (host, port)))


def watch(connection: Any, tap: Tap, methods: Callable[[Any], Methods]) -> None:
    """Give a connection a class of its own, with `methods` of the class that it has."""
    is_watched = TAP in connection.__dict__  # it is opened again
    connection.__dict__[TAP] = tap
    if is_watched:
        return
    kind = type(connection)
    watched = _classes.get((methods, kind))
    if watched is None:
        # One base alone: with two, Python says that objects of the classes are laid out differently.
        named = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
        functions = {function.__name__: function for function in methods(kind)}
        watched = _classes[methods, kind] = type(kind.__name__, (kind,), {**named, **functions})
    connection.__class__ = watched


def _whole(pieces: list[bytes], opcode: int, data: Any, fin: bool) -> bytes | None:
    """The message that is whole with this frame, its last; one that is too long to be of interest is none."""
    if opcode in _DATA:
        pieces[:] = [_bytes(data)]
        return None
    if opcode != _CONTINUATION or not pieces:
        return None
    pieces.append(_bytes(data))
    if sum(map(len, pieces)) > _LONGEST:
        pieces.clear()
        return None
    if not fin:
        return None
    message = b"".join(pieces)
    pieces.clear()
    return message


def _bytes(data: Any) -> bytes:
    if type(data) is bytes:
        return data
    return data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
