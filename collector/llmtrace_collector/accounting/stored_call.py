"""A stored span that calls a model, as call deduplication reads it."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Reasons that the rules give; others ('sender', 'server', 'no_request') are the span's own and final.
REPEATS = "repeats"
DUPLICATE = "duplicate"
RETRY = "retry"

#: What the rules decided before and may decide otherwise.
DECIDED = ("", REPEATS, DUPLICATE, RETRY)


def is_unnamed(service: str) -> bool:
    """Whether this is no service's name: nothing, or what OpenTelemetry's SDKs put in its place."""
    return not service or service.startswith("unknown_service")


#: A span's place: its project, its trace and its id.
SpanKey = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class StoredCall:
    """One span that calls a model. Times in Unix nanoseconds; digests are 0 where nobody said the text."""

    project: str
    trace: str
    span: str
    parent: str
    response: str
    start: int
    end: int
    uncounted: str
    service: str = ""
    received: int = 0
    """Milliseconds; tells copies of a span apart."""
    scope: str = ""
    instance: str = ""
    """Of the process, where its resource names one; empty otherwise."""
    operation: str = ""
    models: tuple[str, ...] = ()
    """As asked for and as answered."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    """Read from and written to a cache."""
    known_counts: int = 0
    """Buckets of usage that it knows."""
    failed: bool = False
    is_inner: bool = False
    """Whether it is a billed call inside a call, whose usage the call around it does not have."""
    first_token: int = 0
    """When the first token came; 0 where nobody said."""
    retention_days: int = 0
    row_hash: int = 0
    """The engine's hash of its place and of when it came: tells the row from all others."""
    request: int = 0
    """Digest of model, messages, instructions and tools; 0 where no message is known."""
    repeated: tuple[SpanKey, ...] = ()
    """The earlier requests that it says it repeats."""
    status: int = 0
    """HTTP status of the answer; 0 where nobody said."""
    error: str = ""
    """Kind of the error."""
    requested_wait: float = 0.0
    """Seconds that the answer asked to wait before the next attempt; 0 for none."""
    realtime_session: str = ""
    """The session that a realtime response is of; empty for every other call."""
    asked: int = 0
    """Digest of the last message's text."""
    answered: int = 0
    """Digest of the answer's text, else of the ids of the tools that it calls."""
    above: StoredCall | None = None
    """The nearest call around it."""
    group: list[StoredCall] = field(default_factory=list)
    """What tells of the same call, itself among it."""

    @property
    def key(self) -> SpanKey:
        """Its place."""
        return self.project, self.trace, self.span

    @property
    def seen_until(self) -> int:
        """Its last known moment: some tracers end a stream's span when they hand it out, before it runs."""
        return max(self.end, self.first_token)

    @property
    def is_unnamed(self) -> bool:
        """Whether its resource names no service: it may be of any process of the project."""
        return is_unnamed(self.service)

    @property
    def eligible(self) -> bool:
        """Whether the span's usage may count at all."""
        return self.uncounted in DECIDED

    @property
    def is_attempt_of_client(self) -> bool:
        """Whether its client made it again, and its sender said so."""
        return self.uncounted == "sender" and self.failed

    @property
    def tokens(self) -> int | None:
        """Tokens altogether; None where nobody told."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    @property
    def depth(self) -> int:
        """How many calls enclose it."""
        depth, call = 0, self.above
        while call is not None and depth < 100:
            depth, call = depth + 1, call.above
        return depth

    def is_within(self, other: StoredCall) -> bool:
        """Whether `other` is among the calls that enclose it."""
        hops, call = 0, self.above
        while call is not None and hops < 100:
            if call is other:
                return True
            hops, call = hops + 1, call.above
        return False
