"""The lines of a batch's input file: where each lies, and what is wrong with it. Pure but for the reading."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtrace_inference.protocol.errors import shortened
from llmtrace_inference.protocol.json_text import parse_object

_MAX_ERRORS = 100
_WRAPPING = 4096
"""Bytes of a line beside the request's body: custom_id, method and url."""


@dataclass(frozen=True, slots=True)
class InputLine:
    """One request of an input file; `number` counts from 1. Its bytes stay in the file."""

    number: int
    custom_id: str
    model: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class InputError:
    """Why an input file cannot be run; `line` None: the file as a whole."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's API shows it in a batch's `errors`."""
        return {"code": self.code, "message": self.message, "line": self.line, "param": self.param}


@dataclass(frozen=True, slots=True)
class LineRules:
    """What the lines of one batch must keep to. `models` None: a batch that began when all were served."""

    endpoint: str
    models: Collection[str] | None
    max_lines: int
    max_body_bytes: int


class _BadLine(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def read_lines(path: Path, rules: LineRules) -> tuple[list[InputLine], list[InputError]]:
    """Every line of a file, or what is wrong with it: of many errors the first hundred."""
    lines: list[InputLine] = []
    errors: list[InputError] = []
    line_numbers: dict[str, int] = {}
    with path.open("rb") as file:
        offset, number = 0, 0
        while raw := file.readline(rules.max_body_bytes + _WRAPPING + 1):
            number, at, offset = number + 1, offset, offset + len(raw)
            if not raw.strip():
                continue
            try:
                line = _checked(raw, number, at, rules, line_numbers)
            except _BadLine as bad:
                errors.append(InputError(bad.code, str(bad), number, bad.param))
                if len(errors) >= _MAX_ERRORS or not raw.endswith(b"\n"):
                    break
                continue
            line_numbers[line.custom_id] = number
            lines.append(line)
            if len(lines) > rules.max_lines:
                errors.append(InputError("too_many_lines", f"a batch may have {rules.max_lines} lines"))
                break
    if not lines and not errors:
        errors.append(InputError("empty_file", "the input file has no lines"))
    return lines, errors


def _checked(
    raw: bytes, number: int, offset: int, rules: LineRules, line_numbers: dict[str, int]
) -> InputLine:
    if len(raw) > rules.max_body_bytes + _WRAPPING:
        raise _BadLine("line_too_long", f"the line is longer than {rules.max_body_bytes} bytes")
    try:
        value = parse_object(raw)
    except ValueError as error:
        raise _BadLine("invalid_json_line", f"the line {error}") from error
    unknown = sorted(set(value) - {"custom_id", "method", "url", "body"})
    if unknown:
        name = shortened(unknown[0], 100)
        raise _BadLine("unknown_field", f"'{name}' is not supported: leave it out", name)
    custom_id, body = value.get("custom_id"), value.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= 512:
        raise _BadLine("invalid_custom_id", "custom_id must be text of 1 to 512 characters", "custom_id")
    if custom_id in line_numbers:
        message = f"custom_id {custom_id!r} is that of line {line_numbers[custom_id]} too"
        raise _BadLine("duplicate_custom_id", message, "custom_id")
    if value.get("method") != "POST":
        raise _BadLine("invalid_method", "method must be POST", "method")
    if value.get("url") != rules.endpoint:
        raise _BadLine("mismatched_url", f"url must be {rules.endpoint}, the batch's endpoint", "url")
    if not isinstance(body, dict):
        raise _BadLine("invalid_body", "body must be a JSON object", "body")
    model = body.get("model")
    if not isinstance(model, str) or (rules.models is not None and model not in rules.models):
        served = ", ".join(rules.models or ())
        raise _BadLine("model_not_found", f"body.model is not served here: use one of {served}", "body.model")
    if body.get("stream"):
        raise _BadLine("stream_unsupported", "a line of a batch cannot be streamed", "body.stream")
    return InputLine(number, custom_id, model, offset, len(raw))


def body_of(path: Path, line: InputLine) -> bytes:
    """The body of one line's request, as JSON."""
    with path.open("rb") as file:
        file.seek(line.offset)
        return json.dumps(parse_object(file.read(line.size))["body"]).encode()
