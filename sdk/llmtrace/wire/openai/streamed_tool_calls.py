"""Calls of tools in a chat stream, put together from their deltas.

A delta belongs to the call with its id, else to the latest call at its index. Servers differ in how they tell
a new call: some give every call index 0 and an id of its own (Gemini, vLLM), some repeat the name or the id
with each piece of the arguments, some have neither index nor id and send calls whole.
"""

from __future__ import annotations

import json
from typing import Any

from llmtrace.wire.format import Json, mapping, word


class StreamedToolCalls:
    """The calls of one choice, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[StreamedCall] = []
        self._by_index: dict[int | str, StreamedCall] = {}
        self._by_id: dict[str, StreamedCall] = {}

    def add(self, value: Json) -> None:
        """Add a delta: the beginning of a call, or more of one."""
        delta = mapping(value)
        if not delta:
            return
        index, call_id = delta.get("index"), _id(delta)
        position = index if isinstance(index, int | str) else None
        call = self._continued(delta, position, call_id)
        if call is None:
            call = StreamedCall(position)
            self._calls.append(call)
        if position is not None:
            self._by_index[position] = call
        if call_id:
            self._by_id[call_id] = call
        call.add(delta)

    def _continued(self, delta: Any, position: int | str | None, call_id: str) -> StreamedCall | None:
        name = word(_function(delta), "name")
        known = self._by_id.get(call_id)
        if known is not None:
            elsewhere = position is not None and known.position is not None and position != known.position
            is_other = name and (elsewhere or known.is_of_other_name(name))
            return None if is_other else known
        if position is None:
            latest = self._calls[-1] if self._calls else None
        else:
            latest = self._by_index.get(position)
        if latest is None or latest.is_followed_by(call_id, name, _arguments(_function(delta))):
            return None
        return latest

    def folded(self) -> list[Json]:
        """As the message of an unstreamed answer has them."""
        return [call.folded() for call in self._calls]


class StreamedCall:
    """One call, being put together."""

    def __init__(self, position: int | str | None = None) -> None:
        self.position = position
        self._id = self._name = ""
        self._spoken_id: Json = None
        self._kind = "function"
        self._arguments: Json = None
        self._pieces: list[str] = []
        self._is_placeholder = False

    def is_followed_by(self, call_id: str, name: str, arguments: Json) -> bool:
        """Whether a delta at the same place, with an id that is not known, begins another call."""
        if not name or not self._name:
            return False  # more of this one, whatever its id: some servers make one up for each piece
        if call_id and self._id:
            return True
        if name == self._name:
            return _has_words(arguments) and self._is_complete()
        return _has_words(arguments) or bool(self._pieces) or self._arguments is not None

    def is_of_other_name(self, name: str) -> bool:
        """Whether this call is complete and has another name: some servers give all calls one id."""
        return name != self._name and self._is_complete()

    def add(self, delta: Any) -> None:
        """Add a delta of this call."""
        function = _function(delta)
        if not self._id:
            self._id = _id(delta)
            self._spoken_id = delta.get("id") or self._spoken_id
        if delta.get("custom"):
            self._kind = "custom"
        name, arguments = word(function, "name"), _arguments(function)
        if name and arguments and self._name and arguments == self._text():
            return  # the whole call once more
        self._add_name(name)
        if isinstance(arguments, str) and arguments:
            self._add_text(arguments, named=bool(name))
        elif arguments and not isinstance(arguments, str):
            self._arguments = arguments  # some servers send them whole and as an object

    def _add_name(self, name: str) -> None:
        """Some servers send it in pieces, some repeat all of it with each delta."""
        if name.startswith(self._name):
            self._name = name
        elif not self._pieces and not self._name.endswith(name):
            self._name += name

    def _add_text(self, text: str, *, named: bool) -> None:
        if self._is_placeholder and text.lstrip().startswith("{"):
            del self._pieces[0]
        self._is_placeholder = (named and not self._pieces and text == "{}") or (
            self._is_placeholder and text.isspace()
        )
        self._pieces.append(text)

    def _is_complete(self) -> bool:
        if self._arguments is not None:
            return True
        if not self._pieces or not self._pieces[-1].rstrip().endswith("}"):
            return False
        try:
            json.loads(self._text())
        except ValueError:
            return False
        return True

    def _text(self) -> str:
        return "".join(self._pieces)

    def folded(self) -> Json:
        """As the message of an unstreamed answer has it."""
        arguments = self._text() if self._arguments is None else self._arguments
        field = "input" if self._kind == "custom" else "arguments"
        return {"id": self._spoken_id, self._kind: {"name": self._name, field: arguments}}


def _function(delta: Any) -> Any:
    return mapping(delta.get("function")) or mapping(delta.get("custom"))


def _arguments(function: Any) -> Json:
    return function.get("arguments") or function.get("input")


def _id(delta: Any) -> str:
    """Some servers write that there is none as an empty text or as the word."""
    call_id = delta.get("id")
    if type(call_id) is int:
        return str(call_id)
    return call_id if isinstance(call_id, str) and call_id != "null" else ""


def _has_words(arguments: Json) -> bool:
    return bool(arguments.strip() if isinstance(arguments, str) else arguments)
