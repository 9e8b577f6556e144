"""What each term of a search asks of one span: SQL over a row of `otel_traces`."""

# Texts are put together from constants alone; values are bound.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from llmtrace import semconv
from llmtrace_collector.attributes.messages import DETAILS_EVENT, EVENT_MESSAGES
from llmtrace_collector.sql_values import literal, literals

from .binding import (
    Parameters,
    all_true,
    any_true,
    compared,
    contains,
    id_is,
    message_spellings,
    name_is,
)
from .fields import WAITING
from .tree import Compare, Identifier, Match, Present, Text, Value

#: Fields whose values are ids or names of one column.
IDS: Mapping[str, str] = MappingProxyType({"user": "UserId", "session": "SessionId", "run": "RunId"})
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "model": "Model",
        "provider": "Provider",
        "operation": "Operation",
        "service": "ServiceName",
        "project": "Project",
        "experiment": "Experiment",
    }
)
_MAPS: Mapping[str, str] = MappingProxyType({"attr": "SpanAttributes", "resource": "ResourceAttributes"})

_ERROR = "StatusCode = 'Error'"
#: An earlier attempt of a call, repeated by its client or by a loop of the program's own.
RETRIED = f"Uncounted IN ('retry', 'sender') AND {_ERROR}"
_FAILED = f"{_ERROR} AND Uncounted NOT IN ('retry', 'sender')"

_APPROVAL = f"Operation = {literal(semconv.APPROVAL_OPERATION)}"
_DECISION = f"SpanAttributes[{literal(semconv.APPROVAL_DECISION)}]"

_HAS: Mapping[str, str] = MappingProxyType(
    {
        "retry": f"({RETRIED})",
        "abandoned": f"SpanAttributes[{literal(semconv.STREAM_ABANDONED)}] = 'true'",
        "retrieval": "Operation = 'retrieval'",
        "tool": "Operation = 'execute_tool'",
        "degraded": "Operation = 'degraded'",
        "approval": _APPROVAL,
        "error": _ERROR,
    }
)
_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "tokens": "if(InputTokens IS NULL AND OutputTokens IS NULL, NULL, "
        "ifNull(InputTokens, 0) + ifNull(OutputTokens, 0))",
        "input_tokens": "InputTokens",
        "output_tokens": "OutputTokens",
        "latency": "Duration / 1e9",
        "ttfb": "TimeToFirstByte",
        "ttft": "TimeToFirstToken",
        "tpot": "TimePerOutputToken",
    }
)

#: A step's name is its span's, without the word of its operation in front of it.
STEP_NAME = (
    "replaceRegexpOne(SpanName, "
    "'^(execute_tool|invoke_agent|invoke_workflow|create_agent|retrieval|plan|approval|approval_request) ', "
    "'')"
)
_TOOL_ATTRIBUTE = f"SpanAttributes[{literal(semconv.TOOL_NAME)}]"
TOOL_NAME = f"if({_TOOL_ATTRIBUTE} != '', {_TOOL_ATTRIBUTE}, {STEP_NAME})"

_TEXTS = ("InputMessages", "OutputMessages", "SystemInstructions", "ToolDefinitions")
_RESPONSE_PREFIXES = ("chatcmpl-", "chatcmpl_", "cmpl-", "cmpl_", "msg-", "msg_", "resp-", "resp_")

_FUNCTION_KEYS = literals(
    (
        semconv.TOOL_CALL_ARGUMENTS,
        semconv.TOOL_CALL_RESULT,
        semconv.FUNCTION_ARGUMENTS,
        semconv.FUNCTION_RESULT,
        semconv.RETRIEVAL_DOCUMENTS,
        semconv.APPROVAL_ARGUMENTS,
        semconv.APPROVAL_REASON,
    )
)
_MESSAGE_EVENTS = literals((DETAILS_EVENT, *(name for names in EVENT_MESSAGES.values() for name in names)))
#: Records of `otel_logs` that are messages of a call.
MESSAGES_LOGGED = (
    f"SpanId != '' AND if(EventName != '', EventName, LogAttributes['event.name']) IN ({_MESSAGE_EVENTS})"
)

#: A row of `span_texts` with an image among what was sent, as rows of traces tell it.
_IMAGE_SENT = """multiSearchAny(InputMessages, ['"modality":"image"', '"modality": "image"'])"""


class SpanTerms:
    """Terms as conditions on a span. Those about texts read the view of texts, those about scores and costs
    their own tables, all within the search's period.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._special: Mapping[str, Callable[[Match], str]] = {
            "step": self._step,
            "tool": self._tool,
            "status": self._status,
            "error": self._error,
            "finish": lambda match: self._any_name(match, "FinishReasons"),
            "prompt": self._prompt,
            "tag": self._tag,
            "purpose": self._purpose,
            "approval": self._approval,
            "has": self._has,
            "score": self._labelled,
            "attr": self._attribute,
            "resource": self._attribute,
        }

    def identifier(self, node: Identifier) -> str:
        """The span has this id."""
        column = {"trace": "TraceId", "span": "SpanId", "response": "ResponseId"}[node.kind]
        return f"{column} = {self._parameters.text(node.text)}"

    def match(self, node: Match) -> str:
        """The span's field is one of the values."""
        if node.field in IDS:
            return self._any_value(node, lambda value: id_is(IDS[node.field], value, self._parameters))
        if node.field in NAMES:
            return self._any_value(node, lambda value: name_is(NAMES[node.field], value, self._parameters))
        return self._special[node.field](node)

    def present(self, node: Present) -> str:
        """The span has the attribute or score."""
        if node.field == "score":
            return self.scored([self._score_name(node.key)])
        return f"mapContains({_MAPS[node.field]}, {self._parameters.text(node.key)})"

    def compare(self, node: Compare) -> str:
        """The span's number compares so."""
        if node.field == "score":
            return self.scored(self.score_compares(node))
        if node.field == "cost":
            return self._costs(node)
        if node.field in _MAPS:
            expression = f"toFloat64OrNull({_MAPS[node.field]}[{self._parameters.text(node.key)}])"
        else:
            expression = _NUMBERS[node.field]
        return compared(expression, node.operator, node.number, self._parameters)

    def in_span(self, node: Text) -> str:
        """The span's name, its error's message, or a tool's or function's arguments or result have the text;
        so does an id of digits alone.
        """
        conditions = [
            contains(column, node.text, self._parameters) for column in ("SpanName", "StatusMessage")
        ]
        column = {16: "SpanId", 32: "TraceId"}.get(len(node.text)) if node.text.isdecimal() else None
        # Short ids of responses look like words.
        column = "ResponseId" if node.text.startswith(_RESPONSE_PREFIXES) else column
        if column is not None:
            conditions.append(f"{column} = {self._parameters.text(node.text)}")
        spellings = message_spellings(node.text)
        value = any_true(contains("value", spelling, self._parameters) for spelling in spellings)
        in_function = (
            f"arrayExists((key, value) -> key IN ({_FUNCTION_KEYS}) AND {value}, "
            "mapKeys(SpanAttributes), mapValues(SpanAttributes))"
        )
        # The engine plans a chain of conditions in less time than ANDs and ORs of them.
        return f"multiIf({any_true(conditions)}, 1, IsLlm, 0, {in_function})"

    def in_messages(self, node: Text) -> str:
        """A row of `span_texts` has the text in a prompt, an answer, instructions or a tool's definition."""
        return any_true(
            contains(column, spelling, self._parameters)
            for spelling in message_spellings(node.text)
            for column in _TEXTS
        )

    def logged(self, node: Text) -> str:
        """A row of `otel_logs` that is one of `MESSAGES_LOGGED` has the text."""
        spellings = message_spellings(node.text)
        body = any_true(contains("Body", spelling, self._parameters) for spelling in spellings)
        value = any_true(contains("x", spelling, self._parameters) for spelling in spellings)
        return any_true([body, f"arrayExists(x -> {value}, mapValues(LogAttributes))"])

    def scored(self, wanted: Sequence[str]) -> str:
        """A score of the span, of its response, or of the trace whose root it is, is as `wanted`."""
        which = all_true([self._parameters.since("Timestamp"), *wanted])
        of = "FROM scores WHERE"
        return any_true(
            [
                f"(TraceId, SpanId) IN (SELECT TraceId, SpanId {of} SpanId != '' AND {which})",
                "(ParentSpanId = '' AND TraceId IN "
                f"(SELECT TraceId {of} SpanId = '' AND TraceId != '' AND {which}))",
                f"(ResponseId != '' AND ResponseId IN (SELECT ResponseId {of} ResponseId != '' AND {which}))",
            ]
        )

    def score_compares(self, node: Compare) -> list[str]:
        """Conditions on a row of `scores`."""
        value = compared("Value", node.operator, node.number, self._parameters)
        return [self._score_name(node.key), value]

    def score_labelled(self, node: Match) -> list[str]:
        """Conditions on a row of `scores`."""
        return [
            self._score_name(node.key),
            self._any_value(node, lambda value: name_is("Label", value, self._parameters)),
        ]

    def _score_name(self, name: str) -> str:
        return f"Name = {self._parameters.text(name)}"

    def _labelled(self, node: Match) -> str:
        return self.scored(self.score_labelled(node))

    def _any_value(self, node: Match, condition: Callable[[Value], str]) -> str:
        return any_true(map(condition, node.values))

    def _any_name(self, node: Match, column: str) -> str:
        def has(value: Value) -> str:
            return f"arrayExists(x -> {name_is('x', value, self._parameters)}, {column})"

        return self._any_value(node, has)

    def _attribute(self, node: Match) -> str:
        attribute = f"{_MAPS[node.field]}[{self._parameters.text(node.key)}]"
        return self._any_value(node, lambda value: id_is(attribute, value, self._parameters))

    def _step(self, node: Match) -> str:
        def named(value: Value) -> str:
            return any_true(name_is(name, value, self._parameters) for name in ("SpanName", STEP_NAME))

        return f"(NOT IsLlm AND {self._any_value(node, named)})"

    def _tool(self, node: Match) -> str:
        named = self._any_value(node, lambda value: name_is(TOOL_NAME, value, self._parameters))
        return f"(Operation = 'execute_tool' AND {named})"

    def _status(self, node: Match) -> str:
        return self._any_value(node, lambda value: self._of_status(value.text))

    def _of_status(self, status: str) -> str:
        if status == "recovered":
            overlap = (self._parameters.since("End"), self._parameters.until("Start"))
            where = all_true([*overlap, "Status = 'recovered'"])
            return f"({_FAILED} AND TraceId IN (SELECT TraceId FROM traces WHERE {where}))"
        return {"ok": "StatusCode != 'Error'", "error": _ERROR, "failed": f"({_FAILED})"}[status]

    def _error(self, node: Match) -> str:
        either = self._any_value(node, self._error_is)
        return f"({_ERROR} AND {either})"

    def _error_is(self, value: Value) -> str:
        if value.pattern and not value.text.strip("*"):
            return "1"
        within = Value(f"*{value.text}*", pattern=True)
        message = (
            name_is("StatusMessage", within, self._parameters)
            if value.pattern
            else contains("StatusMessage", value.text, self._parameters)
        )
        return any_true([name_is("ErrorType", value, self._parameters), message])

    def _prompt(self, node: Match) -> str:
        return self._any_value(node, self._prompt_is)

    def _prompt_is(self, value: Value) -> str:
        name, at, version = value.text.rpartition("@")
        if not at or not name or not version:
            return name_is("PromptName", value, self._parameters)
        of_name = name_is("PromptName", Value(name, value.pattern and "*" in name), self._parameters)
        of_version = Value(version, value.pattern and "*" in version)
        if of_version.pattern and not version.strip("*"):
            return of_name
        return f"({of_name} AND {id_is('PromptVersion', of_version, self._parameters)})"

    def _tag(self, node: Match) -> str:
        return self._any_value(node, lambda value: f"arrayExists(x -> {self._tag_is(value)}, Tags)")

    def _tag_is(self, value: Value) -> str:
        if value.pattern:
            return name_is("x", value, self._parameters)
        if "=" in value.text:
            spellings = (value.text, value.text.replace("=", ":", 1))
            return any_true(name_is("x", Value(text), self._parameters) for text in spellings)
        keys = (self._parameters.text(value.text + sign) for sign in "=:")
        keyed = (f"startsWith(lowerUTF8(x), lowerUTF8({key}))" for key in keys)
        return any_true([name_is("x", value, self._parameters), *keyed])

    def _purpose(self, node: Match) -> str:
        return any_true(f"Purpose = {self._parameters.text(value.text)}" for value in node.values)

    def _approval(self, node: Match) -> str:
        words = [value.text for value in node.values if value.text != WAITING]
        conditions = [self._waiting()] if len(words) < len(node.values) else []
        if words:
            bound = ", ".join(map(self._parameters.text, words))
            conditions.append(f"({_APPROVAL} AND {_DECISION} IN ({bound}))")
        return any_true(conditions)

    def _waiting(self) -> str:
        """The span asked, and no approval tells an answer: neither the one it is below, nor another that is
        below that one or linked to it. Answers count whenever they came.
        """
        # What is asked starts no later than its question, but not by much.
        answers = all_true(
            [self._parameters.since("Timestamp + INTERVAL 1 MINUTE"), _APPROVAL, f"{_DECISION} != 'pending'"]
        )
        links = "arrayZip(`Links.TraceId`, `Links.SpanId`)"
        answered = (
            "SELECT tupleElement(asked, 1), tupleElement(asked, 2) FROM (SELECT arrayJoin(arrayConcat("
            f"[(TraceId, SpanId), (TraceId, ParentSpanId)], {links})) AS asked FROM otel_traces "
            f"WHERE {answers})"
        )
        return (
            f"(Operation = {literal(semconv.APPROVAL_REQUEST_OPERATION)} "
            f"AND (TraceId, ParentSpanId) NOT IN ({answered}))"
        )

    def _has(self, node: Match) -> str:
        return self._any_value(node, lambda value: self._has_this(value.text))

    def _has_this(self, what: str) -> str:
        if what == "score":
            return self.scored([])
        if what == "image":
            return any_true(["ImageInputTokens > 0", self._in_texts(_IMAGE_SENT)])
        return _HAS[what]

    def _in_texts(self, condition: str) -> str:
        """A row of `span_texts` of the span is as `condition` says."""
        where = all_true([*self._parameters.within("Timestamp"), condition])
        return f"(TraceId, SpanId) IN (SELECT TraceId, SpanId FROM span_texts WHERE {where})"

    def _costs(self, node: Compare) -> str:
        cost = compared("Cost", node.operator, node.number, self._parameters)
        where = all_true([*self._parameters.within("Timestamp"), cost])
        return f"(TraceId, SpanId) IN (SELECT TraceId, SpanId FROM span_cost WHERE {where})"
