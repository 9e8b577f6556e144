"""What call deduplication reads of the store, and nothing more than it needs.

Where no service has two instrumentations, one cheap question is all that is asked beyond the calls of
traces and responses that gained spans.
"""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from llmtrace.common.retry_rules import RETRY_WINDOW_SECONDS
from llmtrace_collector.sql_values import literals
from llmtrace_collector.store.store import Store

from .call_decisions import HOPS, NOWHERE, Decision
from .call_queries import (
    ANY_RESULTS,
    BATCH_TIMES,
    BY_KEY,
    CANDIDATES,
    DECIDED_BEFORE,
    DIGESTS,
    FRESH_ATTEMPTS,
    LINKS,
    LONGEST_SECONDS,
    MOST_CANDIDATES,
    REPEATING,
    SCOPES,
    TOGETHER,
)
from .stored_call import DUPLICATE, REPEATS, RETRY, SpanKey, StoredCall, is_unnamed

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

#: Spans of one call start at most this far apart.
REACH_SECONDS = 3600
#: Spans that one statement names: the engine takes 256 KiB of one, of which a span's ids are 75 bytes.
_CHUNK = 2000
#: Of the list in a statement: the engine reads no more than 256 KiB of one.
_STATEMENT_BYTES = 200_000
#: Calls that start within so many seconds are paired at once: it bounds what the engine sorts.
_BLOCK_SECONDS = 300
#: How often what decided a span, or what it repeats, is followed to the spans that it names.
_STEPS_OF_LINKS = 8
#: How much earlier what a request repeats may have begun, seconds.
_REACH_OF_RETRIES = LONGEST_SECONDS + int(RETRY_WINDOW_SECONDS)
#: Services whose instrumentations are remembered; beyond that it begins anew, from the last hour's spans.
_MOST_SERVICES = 10_000


def chunks(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    """The items, as many at once as fit a statement."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def listed(keys: Iterable[Sequence[str]]) -> Iterator[str]:
    """Tuples of literals for `IN (…)`, as many at once as a statement may hold."""
    part: list[str] = []
    size = 0
    for key in keys:
        text = f"({literals(key)})"
        if part and size + len(text) > _STATEMENT_BYTES:
            yield ", ".join(part)
            part, size = [], 0
        part.append(text)
        size += len(text.encode()) + 2
    if part:
        yield ", ".join(part)


class CallReader:
    """Reads calls with all that a decision about them needs. Not thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scopes: dict[tuple[str, str], set[str]] = {}
        #: Projects in which a tracer names no service: there all services are as one.
        self._unnamed: set[str] = set()
        #: What is stored of the calls that were read last.
        self.decided: dict[SpanKey, Decision] = {}

    def calls_since(self, since: str) -> list[StoredCall]:
        """Calls of what was stored since then (the engine's clock) with those that may be the same, and what
        earlier decisions about them name.
        """
        rows = self._together(since) + self._repetitions(since)
        services = self._traced_twice(since)
        pairs = ", ".join(f"({literals(service)})" for service in services)
        process = "ServiceName"
        if unnamed := sorted(self._unnamed & {project for project, _ in services}):
            process = f"if(Project IN ({literals(unnamed)}), '', ServiceName)"
        for begin, end in _blocks(itertools.chain.from_iterable(services.values())):
            window: dict[str, str | int] = {"since": since, "from": begin, "to": end}
            candidates = self._store.rows(CANDIDATES.format(services=pairs, process=process), window)
            if len(candidates) == MOST_CANDIDATES:
                logger.warning(
                    "more than %d calls of %d s could be the same as others: some are left as they are",
                    MOST_CANDIDATES,
                    end - begin,
                )
            rows += candidates
        calls = _distinct(rows)
        return self._with_linked(calls)

    def _together(self, since: str) -> list[dict[str, Any]]:
        """Rows of the calls that share a trace or a response with others. Which these are is asked first,
        of small columns: where there are none, nothing else is read.
        """
        window: dict[str, str | int] = {"since": since, **self._batch_times(since)}
        keys = self._store.rows(TOGETHER, window)
        rows: list[dict[str, Any]] = []
        for part in chunks(keys):
            seconds = [int(row["Second"]) for row in part]
            between = {"from": min(seconds), "to": max(seconds) + 1}
            for spans in listed({_key(row) for row in part}):
                rows += self._store.rows(BY_KEY.format(spans=spans), between)
        return rows

    def _batch_times(self, since: str) -> dict[str, int]:
        """Between when the traces of results of batches lie that came; where none did, a window without
        anything in it.
        """
        rows = self._store.rows(ANY_RESULTS, {"since": since}) and self._store.rows(
            BATCH_TIMES, {"since": since}
        )
        times = next(iter(rows), {"Earliest": 2**31, "Latest": 0})
        return {"earliest": int(times["Earliest"]), "latest": int(times["Latest"])}

    def _repetitions(self, since: str) -> list[dict[str, Any]]:
        """Rows of requests that repeat others of other traces, and of those: whichever of them is new."""
        fresh = self._store.rows(FRESH_ATTEMPTS, {"since": since})
        if not fresh:
            return []
        seconds = [int(row["Second"]) for row in fresh]
        window = {"from": min(seconds) - _REACH_OF_RETRIES, "to": max(seconds) + 1 + _REACH_OF_RETRIES}
        keys = {_key(row) for row in fresh if row["Repeated"]}
        keys |= {(row["Project"], *place) for row in fresh for place in row["Repeated"]}
        failed = sorted({(row["Project"], *_key(row)[1:]) for row in fresh if row["Failed"]})
        for spans in listed(failed):
            keys |= {_key(row) for row in self._store.rows(REPEATING.format(spans=spans), window)}
        rows: list[dict[str, Any]] = []
        for spans in listed(sorted(keys)):
            rows += self._store.rows(BY_KEY.format(spans=spans), window)
        return rows

    def read_texts(self, calls: Sequence[StoredCall]) -> None:
        """Fill in the digests of what was asked and answered."""
        for part in chunks(calls):
            by_key = {call.key: call for call in part}
            for spans in listed(by_key):
                for row in self._store.rows(DIGESTS.format(spans=spans), _window(part)):
                    call = by_key.get(_key(row))
                    if call is not None:
                        call.asked, call.answered = int(row["Asked"]), int(row["Answered"])

    def links(self, calls: Sequence[StoredCall]) -> dict[SpanKey, str]:
        """The plain spans above calls, a few levels up, with the parent of each."""
        known = {call.key for call in calls}
        wanted = {(call.project, call.trace, call.parent) for call in calls if call.parent} - known
        links: dict[SpanKey, str] = {}
        if not calls:
            return links
        window = _window(calls, before=REACH_SECONDS)
        for _ in range(HOPS):
            step: dict[SpanKey, str] = {}
            for spans in listed(sorted(wanted)):
                for row in self._store.rows(LINKS.format(pairs=spans), window):
                    step[_key(row)] = row["ParentSpanId"]
            links.update(step)
            parents = {(*key[:2], parent) for key, parent in step.items() if parent}
            wanted = parents - known - set(links)
            if not wanted:
                break
        return links

    def _traced_twice(self, since: str) -> dict[tuple[str, str], list[int]]:
        """Project and service of what came since then where more than one instrumentation was ever seen, with
        the minutes (Unix seconds) in which its calls started. The service is empty where it stands for all.
        """
        if len(self._scopes) > _MOST_SERVICES:
            self._scopes.clear()
            self._unnamed.clear()
        seeding = not self._scopes
        rows = self._store.rows(SCOPES, {"since": since, "back": REACH_SECONDS if seeding else 1})
        for project in {row["Project"] for row in rows if is_unnamed(row["ServiceName"])} - self._unnamed:
            self._unnamed.add(project)
            for service in [service for service in self._scopes if service[0] == project]:
                self._scopes.setdefault((project, ""), set()).update(self._scopes.pop(service))
        fresh: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row in rows:
            service = self._service(row["Project"], row["ServiceName"])
            scopes = self._scopes.setdefault(service, set())
            if len(scopes) < 2:
                scopes |= set(row["Scopes"])
        for row in rows:
            service = self._service(row["Project"], row["ServiceName"])
            if len(self._scopes[service]) > 1 and row["Minutes"]:
                fresh[service] += [int(minute) for minute in row["Minutes"]]
        return fresh

    def _service(self, project: str, service: str) -> tuple[str, str]:
        return project, "" if project in self._unnamed else service

    def _with_linked(self, calls: list[StoredCall]) -> list[StoredCall]:
        """And what they repeat and decisions about them name: theirs would otherwise be made without it."""
        self.decided = {}
        known = {call.key for call in calls}
        unread = calls
        for _ in range(_STEPS_OF_LINKS):
            named: set[SpanKey] = {key for call in unread for key in call.repeated}
            asked = [
                call
                for call in unread
                if call.uncounted in (REPEATS, DUPLICATE, RETRY)
                or call.is_attempt_of_client
                or self._is_traced_twice(call)
            ]
            for part in chunks(asked):
                for spans in listed(call.key for call in part):
                    for row in self._store.rows(DECIDED_BEFORE.format(spans=spans), _window(part)):
                        decision = _decision(row)
                        self.decided[_key(row)] = decision
                        named |= {decision.record, *decision.ambiguous_with}
            missing = sorted(key for key in named - known if key[2])
            if not missing:
                break
            known |= set(missing)
            window = _window(calls, before=REACH_SECONDS, after=REACH_SECONDS)
            unread = []
            for spans in listed(missing):
                unread += _distinct(self._store.rows(BY_KEY.format(spans=spans), window))
            calls = [*calls, *unread]
        return calls

    def _is_traced_twice(self, call: StoredCall) -> bool:
        return len(self._scopes.get(self._service(call.project, call.service), ())) > 1


def _blocks(minutes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Begin and end (Unix seconds) of the minutes, few together."""
    begin = end = 0
    for minute in sorted(set(minutes)):
        if end and minute + 60 - begin > _BLOCK_SECONDS:
            yield begin, end
            end = 0
        begin, end = (begin if end else minute), minute + 60
    if end:
        yield begin, end


def _key(row: Mapping[str, Any]) -> SpanKey:
    return row["Project"], row["TraceId"], row["SpanId"]


def _window(calls: Collection[StoredCall], *, before: int = 0, after: int = 0) -> dict[str, int]:
    return {
        "from": min(call.start for call in calls) // 10**9 - before,
        "to": max(call.start for call in calls) // 10**9 + 1 + after,
    }


def _decision(row: Mapping[str, Any]) -> Decision:
    return Decision(
        row["Decision"],
        (row["Project"], row["RecordTraceId"], row["RecordSpanId"]) if row["RecordSpanId"] else NOWHERE,
        tuple(row["Evidence"]),
        tuple((row["Project"], trace, span) for trace, span in row["Candidates"]),
    )


def _distinct(rows: Iterable[Mapping[str, Any]]) -> list[StoredCall]:
    """Calls of rows, of each row of the store one: copies of a span differ in when they came."""
    calls = {}
    for row in rows:
        calls[*_key(row), row["Received"]] = row
    return [_call(row) for row in calls.values()]


def _call(row: Mapping[str, Any]) -> StoredCall:
    return StoredCall(
        row["Project"],
        row["TraceId"],
        row["SpanId"],
        row["ParentSpanId"],
        row["ResponseId"],
        int(row["Start"]),
        int(row["End"]),
        row["Uncounted"],
        row["ServiceName"],
        int(row["Received"]),
        row["ScopeName"],
        row["Instance"],
        row["Operation"],
        tuple(row["Models"]),
        None if row["InputTokens"] is None else int(row["InputTokens"]),
        None if row["OutputTokens"] is None else int(row["OutputTokens"]),
        int(row["Cached"]),
        int(row["Known"]),
        bool(row["Failed"]),
        bool(row["IsInner"]),
        int(row["FirstToken"]),
        int(row["RetentionDays"]),
        int(row["RowHash"]),
        int(row["Request"]),
        tuple((row["Project"], trace, span) for trace, span in row["Repeated"]),
        int(row["HttpStatus"]),
        row["ErrorType"],
        float(row["RequestedWait"]),
        row["RealtimeSession"],
    )
