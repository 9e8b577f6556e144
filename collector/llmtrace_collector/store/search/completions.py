"""What may stand at the cursor: names of fields, and values that the store has seen lately."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from llmtrace_collector.sql_values import QueryParams, QueryValue

from .fields import FIELDS, Field, Kind
from .span_terms import IDS, NAMES, STEP_NAME, TOOL_NAME
from .tree import Value, quoted

#: One SELECT and its parameters in, its rows out.
Rows = Callable[[str, QueryParams], Iterable[Mapping[str, Any]]]

#: Completions at a time.
MOST = 20

#: Seconds that are looked back, one after the other until something is there.
_PERIODS = (3_600, 86_400, 7 * 86_400)

#: Rows that are read of spans at most: a completion takes no longer in a store of any size.
_ROWS = 50_000

_TERM = re.compile(r'[^\s()"]*(?:"(?:[^"\\]|\\.)*"?[^\s()"]*)*\Z', re.DOTALL)
_HEAD = re.compile(r'-*([A-Za-z_]\w*)(?:\.("(?:[^"\\]|\\.)*"|[^\s()":=<>!,]+))?(?::|=|!=)')
_KEY = re.compile(r'-*([A-Za-z_]\w*)\.("(?:[^"\\]|\\.)*|[^\s()":=<>!,]*)$', re.DOTALL)
_NAME = re.compile(r"-*(\w*)$")


@dataclass(frozen=True)
class Completion:
    """`text` may take the place of what stands from `start` to `end`; `detail` says what it is."""

    text: str
    start: int
    end: int
    detail: str


def completions(text: str, cursor: int | None = None, rows: Rows | None = None) -> list[Completion]:
    """What may stand at `cursor` (the end of `text` where it is None): most used first, `MOST` at most.

    Without `rows`, which asks the store, names of fields and their words alone.
    """
    end = len(text) if cursor is None else cursor
    begin = next(match.start() for match in _TERM.finditer(text[:end]))
    term = text[begin:end]
    head = _HEAD.match(term)
    if head is not None and head[1].lower() in FIELDS:
        return _values(FIELDS[head[1].lower()], head[2] or "", begin + head.end(), text[:end], rows)
    key = _KEY.match(term)
    if key is not None and key[1] in FIELDS and FIELDS[key[1]].keyed:
        start = begin + key.start(1)
        return [
            Completion(f"{key[1]}.{_bare_key(name)}:", start, end, FIELDS[key[1]].help)
            for name in _seen(rows, _KEYS[key[1]], {"part": _unquoted(key[2])})
        ]
    name = _NAME.match(term)
    return [] if name is None else _names(name[1].lower(), begin + name.start(1), end)


def _names(part: str, start: int, end: int) -> list[Completion]:
    names = sorted(
        (field for field in FIELDS.values() if part in field.name),
        key=lambda field: not field.name.startswith(part),
    )
    return [Completion(_opened(field), start, end, field.help) for field in names[:MOST]] if part else []


def _opened(field: Field) -> str:
    if field.keyed:
        return f"{field.name}."
    return f"{field.name}{'>' if field.kind is Kind.NUMBER else ':'}"


def _values(field: Field, key: str, start: int, text: str, rows: Rows | None) -> list[Completion]:
    """What may stand after the field whose values begin at `start`, in a text up to the cursor."""
    # Of a list of values, the last one is being written.
    start += text[start:].rfind(",") + 1
    part = _unquoted(text[start:]).rstrip("*")
    if field.choices:
        values = [choice for choice in field.choices if choice.startswith(part.lower())]
    elif field.keyed:
        values = _seen(rows, _KEYED_VALUES[field.name], {"part": part, "key": _unquoted(key)})
    else:
        values = _seen(rows, _VALUES[field.name], {"part": part}) if field.name in _VALUES else []
    return [Completion(str(Value(value)), start, len(text), field.help) for value in values]


def _unquoted(text: str) -> str:
    """What stands in quotes, of which the last may be still to come."""
    if not text.startswith('"'):
        return text
    return re.sub(r'\\(["\\])', r"\1", re.sub(r'(?<!\\)((?:\\\\)*)"$', r"\1", text[1:]))


def _bare_key(name: str) -> str:
    return name if re.fullmatch(r'[^\s()":=<>!,]+', name) else quoted(name)


def _seen(rows: Rows | None, source: str, params: Mapping[str, QueryValue]) -> list[str]:
    """Values of `source`, a SELECT of `value` and `uses`, that have the part in them: most used first."""
    if rows is None:
        return []
    sql = (
        f"SELECT value, sum(uses) AS uses FROM ({source}) "
        "WHERE value != '' AND positionCaseInsensitive(value, {part:String}) > 0 GROUP BY value "
        f"ORDER BY positionCaseInsensitive(value, {{part:String}}) = 1 DESC, uses DESC, value LIMIT {MOST}"
    )
    for seconds in _PERIODS:
        values = [str(row["value"]) for row in rows(sql, {**params, "seconds": seconds})]
        if values:
            return values
    return []


def _of_usage(expression: str) -> str:
    return (
        f"SELECT {expression} AS value, sum(Calls) AS uses FROM usage_10s "
        "WHERE Time >= now() - toIntervalSecond({seconds:UInt32}) GROUP BY value"
    )


def _of_spans(expression: str, where: str = "1") -> str:
    return (
        f"SELECT {expression} AS value, 1 AS uses FROM (SELECT * FROM otel_traces "
        f"WHERE Timestamp >= now() - toIntervalSecond({{seconds:UInt32}}) AND {where} LIMIT {_ROWS})"
    )


def _scores(expression: str, where: str = "1") -> str:
    return (
        f"SELECT {expression} AS value, count() AS uses FROM scores "
        f"WHERE Timestamp >= now() - toIntervalSecond({{seconds:UInt32}}) AND {where} GROUP BY value"
    )


_USAGE = ("model", "provider", "operation", "project", "experiment")

_VALUES: Mapping[str, str] = MappingProxyType(
    {
        **{name: _of_usage(NAMES[name]) for name in _USAGE},
        "user": _of_usage("UserId"),
        "run": _of_usage("RunId"),
        "prompt": _of_usage("if(PromptVersion = '', PromptName, concat(PromptName, '@', PromptVersion))"),
        # Services send more than calls of models.
        "service": _of_spans("ServiceName"),
        "session": _of_spans(IDS["session"], "SessionId != ''"),
        "tag": _of_spans("arrayJoin(Tags)", "notEmpty(Tags)"),
        "finish": _of_spans("arrayJoin(FinishReasons)", "notEmpty(FinishReasons)"),
        "error": _of_spans("ErrorType", "ErrorType != ''"),
        "step": _of_spans(STEP_NAME, "NOT IsLlm"),
        "tool": _of_spans(TOOL_NAME, "Operation = 'execute_tool'"),
    }
)
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "attr": _of_spans("arrayJoin(mapKeys(SpanAttributes))"),
        "resource": _of_spans("arrayJoin(mapKeys(ResourceAttributes))"),
        "score": _scores("Name"),
    }
)
_KEYED_VALUES: Mapping[str, str] = MappingProxyType(
    {
        "attr": _of_spans("SpanAttributes[{key:String}]"),
        "resource": _of_spans("ResourceAttributes[{key:String}]"),
        "score": _scores("Label", "Name = {key:String}"),
    }
)
