"""Whether a record says what the canonical one says: the fields in which they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .programs.questions import DELAY, FIRST, REST
from .stored_records import COUNT_NAMES, Row


@dataclass(frozen=True)
class Difference:
    """A field that an emitter's record has otherwise."""

    field: str
    expected: str
    actual: str

    def line(self) -> str:
        """In words."""
        return f"{self.field}: {self.actual} instead of {self.expected}"


#: Column → what the table calls it.
_NAMES = {
    "Operation": "operation",
    "Provider": "provider",
    "RequestModel": "request model",
    "ResponseModel": "response model",
    "ResponseId": "response id",
    "FinishReasons": "finish reasons",
}


def compare(canonical: Row, record: Row) -> list[Difference]:
    """The fields in which a record differs from the canonical one of the same exchange."""
    pairs: list[tuple[str, Any, Any]] = [
        (name, canonical[column], record[column]) for column, name in _NAMES.items()
    ]
    pairs += [(column, int(canonical[column] or 0), int(record[column] or 0)) for column in COUNT_NAMES]
    pairs.append(("failed", _failed(canonical), _failed(record)))
    pairs.append(("cost", _cost(canonical), _cost(record)))
    for name, conversation in (("messages", _asked), ("answer", _answered), ("tools", _tools)):
        pairs.append((name, conversation(canonical), conversation(record)))
    return [
        Difference(name, _short(expected), _short(actual))
        for name, expected, actual in pairs
        if expected != actual
    ]


def matched(canonical: Sequence[Row], records: Sequence[Row]) -> list[tuple[Row, Row, list[Difference]]]:
    """Pairs of a canonical record and the one that tells of the same call, by the id of the answer, else by
    what differs least.
    """
    left = list(records)
    pairs = []
    for row in sorted(canonical, key=lambda row: not any(_same_id(row, record) for record in left)):
        if not left:
            break
        record = min(left, key=lambda record: (not _same_id(row, record), len(compare(row, record))))
        left.remove(record)
        pairs.append((row, record, compare(row, record)))
    return pairs


def cell(canonical: Sequence[Row], records: Sequence[Row], *, is_paced: bool = True) -> list[Difference]:
    """The differences of a cell; each field once. The first token is held against the pace at which the
    provider sends its answers, where it has one.
    """
    differences: dict[str, Difference] = {}
    if len(records) != len(canonical):
        names = ", ".join(f"{row['SpanName']} of {row['ScopeName']}" for row in records)
        differences["records"] = Difference(
            "records", str(len(canonical)), f"{len(records)} ({names})" if records else "0"
        )
    for row, record, differing in matched(canonical, records):
        is_timed = is_paced and row["TimeToFirstToken"] is not None and not _failed(row)
        for difference in [*differing, *(_first_token(record) if is_timed else ())]:
            differences.setdefault(difference.field, difference)
    return list(differences.values())


def _same_id(canonical: Row, record: Row) -> bool:
    return bool(canonical["ResponseId"]) and canonical["ResponseId"] == record["ResponseId"]


def _failed(row: Row) -> bool:
    return bool(row["ErrorType"]) or str(row["StatusCode"]).endswith("Error")


def _cost(row: Row) -> float | None:
    return None if row["Cost"] is None else round(float(row["Cost"]), 12)


def _first_token(record: Row) -> list[Difference]:
    """The first token was sent after `DELAY + FIRST` and `REST` before the end."""
    seconds = record["TimeToFirstToken"]
    latest = int(record["Duration"]) / 1e9 - REST / 2
    if seconds is not None and DELAY + FIRST <= float(seconds) <= latest:
        return []
    expected = f"{DELAY + FIRST:.2f} s or a little more"
    return [Difference("first token", expected, "none" if seconds is None else f"{float(seconds):.3f} s")]


def _messages(text: str) -> list[dict[str, Any]]:
    value = json.loads(text) if text else []
    return value if isinstance(value, list) else [value]


def _asked(row: Row) -> list[Any]:
    """System text, then the messages; instructions and system messages are the same thing."""
    system = [
        {"role": "system", "parts": [part] if isinstance(part, dict) else [{"type": "text", "content": part}]}
        for part in _messages(row["SystemInstructions"])
    ]
    messages = [*system, *_messages(row["InputMessages"])]
    return _normal(messages)


def _answered(row: Row) -> list[Any]:
    return _normal(_messages(row["OutputMessages"]))


def _normal(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """(role, parts) of each message: text joined, tool calls and results by what they hold, media by kind.
    Messages in a row of one role are one.
    """
    normal: list[tuple[str, list[Any]]] = []
    for message in messages:
        parts = [item for part in message.get("parts") or () if (item := _part(part)) is not None]
        role = str(message.get("role"))
        if role == "developer":
            role = "system"
        if parts and all(part[0] == "tool_call_response" for part in parts):
            role = "tool"
        if normal and normal[-1][0] == role:
            normal[-1][1].extend(parts)
        elif parts:
            normal.append((role, parts))
    return [(role, _joined(parts)) for role, parts in normal]


def _joined(parts: Sequence[Any]) -> list[Any]:
    joined: list[Any] = []
    for part in parts:
        if part[0] == "text" and joined and joined[-1][0] == "text":
            joined[-1] = ("text", joined[-1][1] + part[1])
        else:
            joined.append(part)
    return joined


def _part(part: Mapping[str, Any]) -> tuple[Any, ...] | None:
    kind = part.get("type")
    if kind == "text":
        return ("text", part["content"]) if part.get("content") else None
    if kind == "reasoning":
        return ("reasoning", part.get("content")) if part.get("content") else None
    if kind == "tool_call":
        return ("tool_call", part.get("id"), part.get("name"), _value(part.get("arguments")))
    if kind == "tool_call_response":
        content = part.get("response", part.get("result", part.get("content")))
        return ("tool_call_response", part.get("id"), _text(content))
    if kind in ("blob", "uri", "file"):
        return ("media", part.get("modality") or str(part.get("mime_type", "")).partition("/")[0])
    return (str(kind),)


def _value(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _text(value: Any) -> str:
    value = _value(value)
    if isinstance(value, list):
        return "".join(_text(item) for item in value)
    if isinstance(value, dict):
        content = value.get("text", value.get("content"))
        return json.dumps(value) if content is None else _text(content)
    return str(value)


def _tools(row: Row) -> list[Any]:
    """(name, description, names of arguments) of each tool."""
    tools = []
    for tool in _messages(row["ToolDefinitions"]):
        tool = tool.get("function", tool)
        schema = _value(tool.get("parameters", tool.get("input_schema"))) or {}
        tools.append((tool.get("name"), tool.get("description"), sorted(schema.get("properties") or ())))
    return tools


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return (text if len(text) <= 160 else f"{text[:120]} … {text[-30:]}") or "nothing"
