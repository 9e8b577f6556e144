"""A record of `logging`, or an event of structlog, as OpenTelemetry has it: severity, text, attributes.

All sizes are bounded, and what cannot be shown as text does not cost its record.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.delivery.exporter import LogRecord
from llmtrace.spans import context_attributes

MAX_BODY: Final = 32_768
"""Characters of a record's text; further ones are cut off, with a mark."""
MAX_VALUE: Final = 4_096
"""Characters of an attribute."""
MAX_STACKTRACE: Final = 16_384
MAX_ATTRIBUTES: Final = 64
_MAX_SCOPES: Final = 1_024

_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Of structlog's events: those that are put elsewhere. uvicorn repeats its text in colours.
_EVENT_FIELDS: Final = frozenset({"event", "level", "timestamp", "exc_info", "exception", "color_message"})
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_SEVERITY_OF_LEVEL: Final = {"trace": 1, "debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
_LEVELS: Final = {"warn": "warning", "exception": "error", "fatal": "critical", "msg": "info", "log": "info"}

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_scopes: dict[str, InstrumentationScope] = {}


def severity_number(level: int) -> int:
    """OpenTelemetry's number (1 to 24) of a level of `logging`: INFO is 9, ERROR 17."""
    if level < logging.DEBUG:
        return min(max(level, 1), 4)
    step = min(level // 10, 5)
    return min(4 * step + 1 + min(level - 10 * step, 3), 24)


def of_logging(record: logging.LogRecord) -> LogRecord:
    """What is sent of a record; its message is formatted here, while its arguments are as they were."""
    extra: Mapping[str, Any] = {
        name: value for name, value in vars(record).items() if name not in _OWN_FIELDS and name[:1] != "_"
    }
    message = record.msg
    fields = _fields_of(message) if not record.args else None
    if fields is not None:
        body, extra = str(fields.get("event", fields.get("message"))), {**fields, **extra}
    else:
        body = _message(record)
    attributes = _attributes(extra)
    attributes[semconv.CODE_FILE_PATH] = record.pathname
    attributes[semconv.CODE_LINE_NUMBER] = record.lineno
    attributes[semconv.CODE_FUNCTION_NAME] = record.funcName or ""
    attributes[semconv.THREAD_NAME] = record.threadName or ""
    attributes |= _exception(record.exc_info)
    return _finished(
        int(record.created * 1e9),
        body,
        attributes,
        record.levelname,
        severity_number(record.levelno),
        record.name,
    )


def of_event(time: int, logger_name: str, method: str, event: Mapping[str, Any], exc_info: Any) -> LogRecord:
    """What is sent of structlog's `event`, logged with `method` at `time` (nanoseconds since 1970)."""
    level = str(event.get("level", method)).lower()
    level = _LEVELS.get(level, level)
    attributes = {**_attributes(event), **dict(_exception(exc_info))}
    body = str(event.get("event", ""))
    return _finished(time, body, attributes, level.upper(), _SEVERITY_OF_LEVEL.get(level, 9), logger_name)


def level_of_event(method: str, event: Mapping[str, Any]) -> int:
    """The level in the numbers of `logging`."""
    level = str(event.get("level", method)).lower()
    number = logging.getLevelName(_LEVELS.get(level, level).upper())
    return number if isinstance(number, int) else logging.INFO


def _finished(
    time: int, body: str, attributes: dict[str, AttributeValue], severity: str, number: int, logger_name: str
) -> LogRecord:
    if "\x1b" in body:
        body = _COLOURS.sub("", body)
    here = context_attributes.here()
    active = trace.get_current_span(here).get_span_context()
    owners = context_attributes.attributes(here)
    return LogRecord(
        time,
        "",
        active.trace_id,
        active.span_id,
        {**attributes, **owners} if owners else attributes,
        _cut(body, MAX_BODY),
        severity,
        number,
        int(active.trace_flags),
        scope=_scope(logger_name),
    )


def _scope(logger_name: str) -> InstrumentationScope:
    # Records of the same scope are told apart by identity, and sent together.
    scope = _scopes.get(logger_name)
    if scope is None:
        if len(_scopes) >= _MAX_SCOPES:
            _scopes.clear()
        scope = _scopes[logger_name] = InstrumentationScope(_cut(logger_name, MAX_VALUE))
    return scope


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  # the program's own mistake: what can be shown of it is
        return f"{record.msg!s} (its arguments cannot be put in: {type(error).__name__})"


def _fields_of(message: object) -> Mapping[str, Any] | None:
    """The fields of an event that structlog hands to `logging`, as they are or rendered as JSON."""
    fields = message
    if isinstance(message, str) and message[:1] == "{" and message[-1:] == "}" and len(message) <= MAX_BODY:
        try:
            fields = json.loads(message)
        except ValueError:
            return None
    if isinstance(fields, Mapping) and isinstance(fields.get("event", fields.get("message")), str):
        return fields
    return None


def _attributes(fields: Mapping[str, Any]) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {}
    for name, value in fields.items():
        if name in _EVENT_FIELDS or not isinstance(name, str) or name[:1] == "_":
            continue
        if len(attributes) >= MAX_ATTRIBUTES:
            break
        attributes[_cut(name, 256)] = _value(value)
    rendered = fields.get("exception")
    if isinstance(rendered, str):
        attributes[semconv.EXCEPTION_STACKTRACE] = _cut(rendered, MAX_STACKTRACE)
    return attributes


def _value(value: Any) -> AttributeValue:
    if isinstance(value, (bool, int, float)):
        return value
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
        except Exception as error:  # noqa: BLE001  # a class of the program that cannot be shown
            value = f"{type(value).__name__} that cannot be shown: {type(error).__name__}"
    return _cut(value, MAX_VALUE)


def _exception(exc_info: Any) -> Iterator[tuple[str, str]]:
    """The attributes `exception.*`; `exc_info` is what `logging` takes by that name."""
    error = exc_info[1] if isinstance(exc_info, tuple) and len(exc_info) == 3 else exc_info
    if not isinstance(error, BaseException):
        return
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    yield semconv.EXCEPTION_TYPE, f"{module}{kind.__qualname__}"
    yield semconv.EXCEPTION_MESSAGE, _cut(str(_value(str_of(error))), MAX_VALUE)
    lines = traceback.format_exception(kind, error, error.__traceback__)
    yield semconv.EXCEPTION_STACKTRACE, _cut("".join(lines), MAX_STACKTRACE, keep_end=True)


def str_of(error: BaseException) -> str:
    """Its message; empty where it cannot be shown."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a class of the program
        return ""


def _cut(text: str, most: int, *, keep_end: bool = False) -> str:
    if len(text) <= most:
        return text
    return f"…{text[-most + 1 :]}" if keep_end else f"{text[: most - 1]}…"
