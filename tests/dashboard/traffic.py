"""Generated traffic for the dashboard's tests: the same calls as Python objects and as OTLP requests."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from llmtrace import semconv

HOSTILE_USER = '<img src=x onerror="window.hacked=1">'
HOSTILE_MODEL = "<script>window.hacked=2</script>"
HOSTILE_IMAGE = "![i](http://tracker.invalid/i.png)"
HOSTILE_PROMPT = (
    HOSTILE_IMAGE
    + ' </pre><script>window.hacked=3</script><img src=x onerror="window.hacked=4"> **bold** $x$'
)

Value = str | int | float | bool | list[str]

#: Provider, model, share of traffic, usual seconds, whether it streams.
MODELS = (
    ("openai", "gpt-4o-mini", 46, 0.9, True),
    ("anthropic", "claude-sonnet-4-5", 26, 2.6, True),
    ("openai", "gpt-4o", 16, 1.7, True),
    ("openai", "text-embedding-3-small", 6, 0.12, False),
    ("llmtrace", "acme-7b-instruct", 6, 0.6, True),
)
USERS = ("ada", "grace", "linus", "margaret", "barbara", "edsger", "alan", "katherine", "donald", "radia")
QUESTIONS = (
    "Where is my order 4711? It should have been here on Tuesday.",
    "Summarise the attached contract in three sentences.",
    "Write a polite answer to this complaint about a late delivery.",
    "Which of our tariffs fits a family with two children?",
    "Translate the release notes to German, keep the product names.",
    "Why does the invoice show the shipping fee twice?",
)


@dataclass
class SpanData:
    """One span; times in nanoseconds."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    service: str
    start: int
    duration: int
    attributes: dict[str, Value] = field(default_factory=dict)
    error: str = ""
    events: tuple[tuple[int, str, dict[str, Value]], ...] = ()
    purpose: str = semconv.PURPOSE_PRODUCT
    project: str = "default"


class Traffic:
    """A seeded stream of agent traces that ends at `end` (seconds since 1970) and lasts `length` seconds."""

    def __init__(self, end: int, length: int = 3300, traces: int = 420, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self.spans: list[SpanData] = []
        self._other_purposes = cycle(semconv.PURPOSES[1:])
        for index in range(traces):
            at = end - length + length * (index + self._random.random()) / traces
            self._agent(at, slow=0.8 < index / traces < 0.87)

    def _id(self, bits: int) -> str:
        return f"{self._random.getrandbits(bits) or 1:0{bits // 4}x}"

    def _agent(self, at: float, slow: bool) -> None:
        choose = self._random
        trace_id, start = self._id(128), int(at * 1e9)
        user = choose.choices(USERS, weights=[30, 22, 15, 10, 8, 5, 4, 3, 2, 1])[0]
        common: dict[str, Value] = {
            "user.id": user,
            "session.id": f"session-{user}-{int(at) // 900 % 97}",
            "gen_ai.prompt.name": "orders" if len(user) % 2 else "complaints",
            "llmtrace.tags": ["shop", "beta"] if user == "grace" else ["shop"],
        }
        if choose.random() < 0.1:
            common |= {"llmtrace.experiment": "tone-of-voice", "llmtrace.run": f"v{choose.randint(1, 3)}"}
        aside = choose.random() < 0.05
        purpose = next(self._other_purposes) if aside else semconv.PURPOSE_PRODUCT
        provider, model, _, usual, streams = choose.choices(MODELS, weights=[row[2] for row in MODELS])[0]
        question = choose.choice(QUESTIONS)
        root = SpanData(
            trace_id, self._id(64), "", "answer customer", 1, "support-agent", start, 0, dict(common)
        )
        lookup = SpanData(
            trace_id,
            self._id(64),
            root.span_id,
            "execute_tool search_orders",
            1,
            "support-agent",
            start + 4_000_000,
            int(choose.uniform(0.01, 0.12) * 1e9),
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search_orders", **common},
        )
        call_start = lookup.start + lookup.duration + 2_000_000
        seconds = usual * choose.lognormvariate(0, 0.35) * (4 if slow and provider == "anthropic" else 1)
        failed = choose.random() < (0.25 if slow else 0.02)
        call = self._call(common, provider, model, seconds, failed, question, streams)
        call.trace_id, call.parent_id, call.start = trace_id, root.span_id, call_start
        spans = [root, lookup, call]
        if provider == "llmtrace":
            spans += self._served(call)
        root.duration = call.start + call.duration - start + 3_000_000
        if failed:
            root.error = "the model did not answer"
        for span in spans:
            span.purpose = purpose
        self.spans += spans

    def _call(
        self,
        common: dict[str, Value],
        provider: str,
        model: str,
        seconds: float,
        failed: bool,
        question: str,
        streams: bool,
    ) -> SpanData:
        choose = self._random
        operation = "embeddings" if "embedding" in model else "chat"
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "gen_ai.request.temperature": 0.2,
            "gen_ai.response.id": f"resp-{self._id(48)}",
            "server.address": f"api.{provider}.example",
            "gen_ai.input.messages": json.dumps(
                [{"role": "user", "parts": [{"type": "text", "content": question}]}]
            ),
            **common,
        }
        if not failed:
            input_tokens = choose.randint(300, 4000)
            output_tokens = 0 if operation == "embeddings" else choose.randint(40, 700)
            attributes |= {
                "gen_ai.response.model": model,
                "gen_ai.usage.input_tokens": input_tokens,
                "gen_ai.usage.output_tokens": output_tokens,
                "gen_ai.usage.cache_read.input_tokens": int(input_tokens * choose.choice((0, 0, 0.5, 0.8))),
                "gen_ai.usage.reasoning.output_tokens": output_tokens // 3 if "claude" in model else 0,
                "gen_ai.response.finish_reasons": ["stop"],
            }
            if operation == "chat":
                attributes["gen_ai.system_instructions"] = json.dumps(
                    [{"type": "text", "content": "You answer customers of a shop. Be brief and kind."}]
                )
                attributes["gen_ai.output.messages"] = json.dumps(self._answer("claude" in model))
            if streams:
                first = seconds * choose.uniform(0.1, 0.35)
                attributes["llmtrace.response.time_to_first_byte"] = first * 0.9
                attributes["gen_ai.response.time_to_first_chunk"] = first
                if "gpt" in model:
                    attributes["llmtrace.response.time_to_last_token"] = seconds * 0.95
        return SpanData(
            "",
            self._id(64),
            "",
            f"{operation} {model}",
            3,
            "support-agent",
            0,
            int(seconds * 1e9),
            attributes
            | ({"error.type": "rate_limit_exceeded", "http.response.status_code": 429} if failed else {}),
            error="Rate limit reached for requests, try again in 2 s" if failed else "",
        )

    @staticmethod
    def _answer(reasons: bool) -> list[dict[str, object]]:
        parts: list[dict[str, object]] = [
            {
                "type": "text",
                "content": "Your parcel left our warehouse on Monday.\n\nIt should arrive tomorrow.",
            },
            {
                "type": "tool_call",
                "id": "call_1",
                "name": "send_tracking_link",
                "arguments": {"order": 4711, "channel": "mail"},
            },
        ]
        if reasons:
            parts.insert(
                0, {"type": "reasoning", "content": "The order left on Monday; transit takes two days."}
            )
        return [{"role": "assistant", "parts": parts, "finish_reason": "stop"}]

    def _served(self, call: SpanData) -> list[SpanData]:
        """The inference service's own spans under a client's call."""
        server = SpanData(
            call.trace_id,
            self._id(64),
            call.span_id,
            call.name,
            2,
            "inference",
            call.start + 1_500_000,
            call.duration - 3_000_000,
            {name: value for name, value in call.attributes.items() if "messages" not in name},
        )
        spans, at = [server], server.start
        for name, share in (
            ("admission", 0.01),
            ("queue", 0.08),
            ("tokenize", 0.01),
            ("prefill", 0.2),
            ("decode", 0.7),
        ):
            length = int(server.duration * share)
            spans.append(
                SpanData(call.trace_id, self._id(64), server.span_id, name, 1, "inference", at, length)
            )
            at += length
        return spans

    def hostile(self, end: int) -> str:
        """Add a trace whose user, model and prompt try to be HTML; its trace id."""
        common: dict[str, Value] = {"user.id": HOSTILE_USER}
        call = self._call(common, "<b>evil</b>", HOSTILE_MODEL, 0.5, False, HOSTILE_PROMPT, True)
        call.trace_id, call.start, call.name = self._id(128), int((end - 30) * 1e9), f"chat {HOSTILE_MODEL}"
        self.spans.append(call)
        return call.trace_id

    def deep(self, end: int, spans: int) -> str:
        """Add one trace of that many spans; its trace id."""
        trace_id, start = self._id(128), int((end - 600) * 1e9)
        root = SpanData(trace_id, self._id(64), "", "nightly evaluation", 1, "evaluation", start, int(500e9))
        self.spans.append(root)
        parent = root
        for index in range(spans - 1):
            parent_id = root.span_id if index % 20 == 0 else parent.span_id
            span = SpanData(
                trace_id,
                self._id(64),
                parent_id,
                f"step {index}",
                1,
                "evaluation",
                start + index * 90_000_000,
                80_000_000,
            )
            self.spans.append(span)
            if index % 20 == 0:
                parent = span
        return trace_id

    def products_calls(self) -> list[SpanData]:
        """Those that count where nobody asks for other purposes."""
        return [call for call in self.calls() if call.purpose == semconv.PURPOSE_PRODUCT]

    def calls(self) -> list[SpanData]:
        """The spans whose usage counts: calls to models, not those that the server repeats."""
        return [
            span
            for span in self.spans
            if span.attributes.get("gen_ai.operation.name") in ("chat", "embeddings") and span.kind != 2
        ]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=item) for item in value]))


def _pairs(attributes: dict[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in attributes.items()]


def otlp(spans: Sequence[SpanData]) -> bytes:
    """The spans as one OTLP/HTTP protobuf request."""
    groups: dict[tuple[str, str, str], list[Span]] = {}
    for span in spans:
        message = Span(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            parent_span_id=bytes.fromhex(span.parent_id),
            name=span.name,
            kind=span.kind,  # type: ignore[arg-type]
            start_time_unix_nano=span.start,
            end_time_unix_nano=span.start + span.duration,
            attributes=_pairs(span.attributes),
            events=[
                Span.Event(time_unix_nano=at, name=name, attributes=_pairs(attributes))
                for at, name, attributes in span.events
            ],
            status=Status(code=Status.STATUS_CODE_ERROR, message=span.error) if span.error else Status(),
        )
        groups.setdefault((span.service, span.project, span.purpose), []).append(message)
    resources = []
    for (service, project, purpose), messages in groups.items():
        resource: dict[str, Value] = {"service.name": service, "llmtrace.project": project}
        if purpose == semconv.PURPOSE_SIMULATED:
            resource["llmtrace.simulated"] = True  # as programs of before say it
        elif purpose != semconv.PURPOSE_PRODUCT:
            resource["llmtrace.purpose"] = purpose
        resources.append(
            ResourceSpans(
                resource=Resource(attributes=_pairs(resource)), scope_spans=[ScopeSpans(spans=messages)]
            )
        )
    return ExportTraceServiceRequest(resource_spans=resources).SerializeToString()
