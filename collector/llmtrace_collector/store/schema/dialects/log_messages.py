"""Messages that arrive as log records: SQL that puts those of one span together, whichever came first."""

from __future__ import annotations

from llmtrace_collector.sql_values import literal, literals

from . import messages
from .attribute_table import EVENT_MESSAGES, TEXT_COLUMNS
from .sqltext import renamed

#: The convention's event with all of a call in its attributes.
DETAILS_EVENT = "gen_ai.client.inference.operation.details"


def log_messages() -> str:
    """SELECT of Project, TraceId, SpanId and the text columns: a row for each span that logs tell of."""
    of_event = {
        name: key_and_role for events in EVENT_MESSAGES.values() for name, key_and_role in events.items()
    }
    keys = {name: key for name, (key, _) in of_event.items()}
    roles = {name: role for name, (_, role) in of_event.items()}
    # A message's body need not name the role that the event's name tells.
    body = (
        "if(startsWith(Body, '{') AND isValidJSON(Body) AND (JSONHas(Body, 'content') OR "
        "JSONHas(Body, 'tool_calls')) AND NOT JSONHas(Body, 'role') AND NOT JSONHas(Body, 'message'), "
        f"concat('{{\"role\":\"', {renamed('Event', roles)}, '\",', substring(Body, 2)), "
        "if(Body IN ('{}', 'null'), '', Body))"
    )
    detail_columns = ", ".join(
        f"argMaxIf({text}, Timestamp, {text} != '') AS given_{column}"
        for column, text in (
            (column, f"LogAttributes[{literal(keys[0])}]") for column, keys in TEXT_COLUMNS.items()
        )
    )
    events = literals([DETAILS_EVENT, *of_event])
    records = (
        "SELECT *, if(EventName != '', EventName, LogAttributes['event.name']) AS Event "  # noqa: S608, names of ours
        f"FROM otel_logs WHERE SpanId != '' AND Event IN ({events})"
    )
    texts = f"if(Body = '', LogAttributes, mapUpdate(LogAttributes, map({renamed('Event', keys)}, {body})))"
    spans = (
        "SELECT Project, TraceId, SpanId, "  # noqa: S608, names of ours
        f"arraySort(x -> x.1, groupArray((Timestamp, Event, {texts}))) AS said, {detail_columns} "
        f"FROM ({records}) GROUP BY Project, TraceId, SpanId"
    )
    named = (
        "SELECT *, arrayMap(x -> x.2, said) AS event_names, arrayMap(x -> x.3, said) AS nested_maps "  # noqa: S608, names of ours
        f"FROM ({spans})"
    )
    columns = ("InputMessages", "OutputMessages")
    asked, answered = (
        f"if(given_{column} != '', given_{column}, {messages.of_events(column)})" for column in columns
    )
    conversations = (
        "SELECT *, "  # noqa: S608, names of ours
        f"{messages.chats(f'[{asked}, {answered}]', roles=_ROLES)} AS conversation FROM ({named})"
    )
    # Emitters that may not tell content send the messages without it.
    has_content = "match(conversation[{n}], '\"parts\":\\\\[[^\\\\]]')"
    message_columns = ", ".join(
        f"multiIf(position(given_{column}, '\"parts\"') > 0, given_{column}, "
        f"{has_content.format(n=n)}, conversation[{n}], '') AS {column}"
        for n, column in enumerate(columns, 1)
    )
    return (
        f"SELECT Project, TraceId, SpanId, {message_columns}, "  # noqa: S608, names of ours
        "given_SystemInstructions AS SystemInstructions, given_ToolDefinitions AS ToolDefinitions "
        f"FROM ({conversations})"
    )


_ROLES = "['user', 'assistant']"
