"""The text of a pytest file that plays a recorded trace to the program again."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from llmtrace import semconv
from llmtrace.testing.rebuild.answers import OPERATIONS
from llmtrace.testing.rebuild.recorded import NotRebuildable, RecordedCall, incomplete, recorded_call

from .literals import comment, literal, needs_json

if TYPE_CHECKING:
    from llmtrace_analysis.queries.recorded_trace import RecordedSpan

#: What a trace's status may be.
STATUSES: Final = ("ok", "recovered", "failed")

_HEAD: Final = '''"""What models answered in a recorded trace, played to the program again.

Written by `llmtrace test from-trace`; from now on it is yours to change. It needs no network and no keys.
"""

'''
_BEYOND: Final[dict[str, Any]] = {
    "output": [{"role": "assistant", "parts": [{"type": "text", "content": "(beyond the recording)"}]}],
    "finish_reasons": ["stop"],
}
_ARGUMENTS_WANTED: Final = (
    "what the function was called with was not recorded; write it here as {'name': value}, or {} for nothing"
)
_IMPORTABLE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class NothingToReplay(Exception):
    """No test can be made of the trace; the message says why and what to do."""


@dataclass(frozen=True)
class TraceTest:
    """A file, and what its author should know: `notes` are sentences."""

    text: str
    notes: list[str] = field(default_factory=list)


def trace_test(
    trace_id: str,
    spans: Sequence[RecordedSpan],
    *,
    call: str | None = None,
    expect: Sequence[str] = (),
    allow_incomplete: bool = False,
) -> TraceTest:
    """The test of a trace's spans, which are ordered by their start.

    call: the function to call, `module:function`; else the recorded one. expect: a status, or expressions of
    Python that hold of `result`. allow_incomplete: whether answers may be cut, redacted or missing. Raises
    NothingToReplay.
    """
    notes: list[str] = []
    calls = _calls(spans, notes, allow_incomplete=allow_incomplete)
    status = _status(spans)
    wanted = next((word for word in expect if word in STATUSES), "ok")
    entry = _entry(spans)
    source = _source(entry, call, notes)
    body = [
        'pytest_plugins = ["llmtrace.testing.pytest_plugin"]\n\n',
        _production(trace_id, spans, status),
        f"\n# The function to call, and what it is called with.\nENTRY = {source}\n",
        f"ARGUMENTS = {_arguments(spans, entry, call, notes)}\n",
        f"\n# What was asked and answered, in the order in which it was asked.\nCALLS = {literal(calls)}\n",
    ]
    options = ""
    if status != "ok":
        options = ", beyond=BEYOND"
        body.append(
            "\n# Production went wrong then. Whatever the program asks for after these is answered so:\n"
            f"BEYOND = {literal(_BEYOND)}\n"
        )
    body.append(
        _function(trace_id, options, wanted, status, [text for text in expect if text not in STATUSES])
    )
    text = "".join(body)
    text = f"{_HEAD}{_imports(text, wanted)}{text}"
    compile(text, "<trace>", "exec")  # whatever the trace holds
    return TraceTest(text, notes)


def checked_expression(expression: str) -> str:
    """An expectation as it goes into the file. Raises ValueError for what is no expression."""
    if expression in STATUSES:
        return expression
    try:
        ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"{expression!r} is no expression of Python; write a status ({', '.join(STATUSES)}), or one such "
            "as \"'Bonn' in result\""
        ) from error
    if "\n" in expression or "\r" in expression:
        raise ValueError("write an expectation in one line")
    return expression


def _calls(spans: Sequence[RecordedSpan], notes: list[str], *, allow_incomplete: bool) -> list[Any]:
    """The requests that were sent to models, as fields of RecordedCall."""
    calls: list[Any] = []
    problems: list[str] = []
    requests = [span for span in spans if span.is_call]
    if not requests:
        raise NothingToReplay("the trace has no call of a model, so there is nothing to replay")
    for number, span in enumerate(requests, 1):
        try:
            recorded = recorded_call(span.attributes, span.status_message if span.has_failed else "")
            why = _problem(recorded, span)
        except NotRebuildable as error:
            problems.append(f"request {number}: {error}")
            continue
        if why:
            problems.append(f"request {number} ({recorded.operation} {recorded.model}): {why}")
        calls.append(_fields(recorded))
    if problems and not allow_incomplete:
        raise NothingToReplay(
            "not all answers can be given again as they were:\n  "
            + "\n  ".join(problems)
            + "\n--allow-incomplete writes the test with what there is"
        )
    notes += problems
    return calls


def _problem(recorded: RecordedCall, span: RecordedSpan) -> str:
    """Why an answer is not what the model gave; empty where it is."""
    if recorded.operation not in OPERATIONS:
        return f"answers of {recorded.operation} cannot be rebuilt"
    answered = 0 < recorded.status < 400 or (recorded.status == 0 and not span.has_failed)
    if answered and recorded.operation != "embeddings" and not recorded.output:
        if recorded.error or "abandoned" in recorded.flags:
            return ""
        return (
            "its answer was not recorded or is deleted: record content (init(capture_content=True), the "
            "default) and take a trace from then on"
        )
    return incomplete(recorded)


def _fields(recorded: RecordedCall) -> dict[str, Any]:
    """Those that say more than nothing."""
    usual = asdict(RecordedCall(status=200))
    values = asdict(recorded)
    if recorded.status == 0 and not recorded.error:
        values["status"] = 200  # other emitters do not say
    return {
        name.name: values[name.name]
        for name in fields(RecordedCall)
        if values[name.name] != usual[name.name] or name.name in ("operation", "model")
    }


def _status(spans: Sequence[RecordedSpan]) -> str:
    """As the dashboard has it: by the root, then by steps; attempts that were repeated are no failure."""
    roots = _roots(spans)
    if any(span.has_failed for span in roots[:1]):
        return "failed"
    return "recovered" if any(span.has_failed and not span.is_attempt for span in spans) else "ok"


def _roots(spans: Sequence[RecordedSpan]) -> list[RecordedSpan]:
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id not in known]


def _entry(spans: Sequence[RecordedSpan]) -> RecordedSpan | None:
    """The outermost span of a function: the first root that is one, else the first one below."""
    named = [span for span in spans if span.attributes.get(semconv.CODE_FUNCTION_NAME)]
    by_id = {span.span_id: span for span in spans}

    def depth(span: RecordedSpan) -> int:
        level, seen = 0, {span.span_id}
        while (span := by_id.get(span.parent_id, span)).span_id not in seen:
            seen.add(span.span_id)
            level += 1
        return level

    return min(named, key=lambda span: (depth(span), span.start_ns), default=None)


def _source(entry: RecordedSpan | None, call: str | None, notes: list[str]) -> str:
    """What stands for ENTRY in the file."""
    if call is not None:
        return literal(call)
    if entry is None:
        why = "no function of the program is in the trace: name the one to call, as 'module:function'"
    else:
        name = str(entry.attributes[semconv.CODE_FUNCTION_NAME])
        module = name.partition(".")[0]
        if _IMPORTABLE.fullmatch(name) and module != "__main__":
            return literal(name)
        why = f"the trace began in {name}, which cannot be imported by that name: write 'module:function'"
    notes.append(f"ENTRY is to fill in: {why}")
    return f"FillIn({literal(why)})"


def _arguments(
    spans: Sequence[RecordedSpan], entry: RecordedSpan | None, call: str | None, notes: list[str]
) -> str:
    """What stands for ARGUMENTS in the file."""
    recorded = None
    if entry is not None:
        keys = (semconv.FUNCTION_ARGUMENTS, semconv.TOOL_CALL_ARGUMENTS)
        recorded = next((entry.attributes[key] for key in keys if key in entry.attributes), None)
    if recorded is not None:
        try:
            values = json.loads(recorded)
        except (ValueError, RecursionError):
            values = None  # cut
        if isinstance(values, dict):
            if incomplete(recorded):
                notes.append(f"the arguments in ARGUMENTS are not whole: {incomplete(recorded)}")
            return literal(values)
    notes.append(
        "ARGUMENTS are to fill in: @llmtrace.observe(capture_args=True) on the function that is called "
        "records them"
    )
    return f"FillIn({literal(_ARGUMENTS_WANTED)})"


def _production(trace_id: str, spans: Sequence[RecordedSpan], status: str) -> str:
    """Comments on what happened."""
    root = (_roots(spans) or list(spans))[0]
    moment = datetime.fromtimestamp(root.start_ns / 1e9, UTC)
    lines = [
        f"Trace {trace_id} of {moment:%Y-%m-%d %H:%M:%S} UTC, service {comment(root.service)}.",
        f"Production saw: {status}",
    ]
    for span in [span for span in spans if span.has_failed][:20]:
        lines.append(f"  {comment(span.name)} failed: {comment(span.status_message)}")
    return "".join(f"# {line}\n" for line in lines)


def _imports(text: str, wanted: str) -> str:
    modules = ["import json\n"] if needs_json(text) else []
    others = ["import pytest\n"] if wanted == "failed" else []
    own = ["from llmtrace.testing import FillIn\n"] if " = FillIn(" in text else []
    blocks = ["".join(block) for block in (modules, [*others, *own]) if block]
    return "".join(f"{block}\n" for block in blocks)


def _function(trace_id: str, options: str, wanted: str, status: str, expressions: Sequence[str]) -> str:
    lines = [f"def test_trace_{trace_id[:8]}(replayed):", f"    trace = replayed(CALLS{options})"]
    result = "result = " if expressions else ""
    if wanted == "failed":
        lines.append("    with pytest.raises(Exception):")
        lines.append("        trace.run(ENTRY, ARGUMENTS)")
    else:
        lines.append(f"    {result}trace.run(ENTRY, ARGUMENTS)")
    lines.append(f'    assert trace.status == "{wanted}"  # production saw: {status}')
    if wanted != "failed":
        lines += [f"    assert {expression}" for expression in expressions]
    return "\n\n" + "\n".join(lines) + "\n"
