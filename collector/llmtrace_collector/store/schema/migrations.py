"""The schema: numbered SQL files, rendered, applied idempotently at start, with a version table."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from importlib import resources

from llmtrace_collector.pricing import charges
from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.cluster import Names, names_of
from llmtrace_collector.store.engine import EmbeddedEngine, StoreEngine

from . import dialects
from .dialects.sqltext import let
from .redaction import BYTES_MARK, NOTHING, Redaction, check_patterns

#: Settings of every table that an acknowledged span may reach: an insert returns when it is on disk, and
#: an insert repeated with the same token adds nothing. What one segment makes is one file of all columns: a
#: file of each column, every one of them made and synced, costs a third of the whole insert. Merges beyond
#: 64 MiB have a file of each. Every merge writes every prompt again: eight parts at a time instead of five
#: are a quarter fewer rounds.
DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000, "
    "min_bytes_for_wide_part = 67108864, merge_selector_base = 8"
)

#: The name of a log record's event, which older SDKs send as an attribute.
EVENT_OF_LOG = (
    "if(e.event_name != '', e.event_name, "
    "e.attributes.value[indexOf(e.attributes.key, 'event.name')].string_value)"
)

_SCALAR = "string_value String, bool_value Bool, int_value Int64, double_value Float64, bytes_value String"
_SCALAR_KIND = (
    "value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, "
    "'bytes_value' = 7)"
)
_KIND = (
    "value Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4, "
    "'array_value' = 5, 'bytes_value' = 7)"
)
_VALUE = f"Tuple({_KIND}, {_SCALAR}, array_value Tuple(values Array(Tuple({_SCALAR_KIND}, {_SCALAR}))))"
_KEY_VALUES = f"Array(Tuple(key String, value {_VALUE}))"

# A double prints as the OpenTelemetry Collector prints it: 1e21 is 1e+21.
_DOUBLE = "replaceRegexpOne(toString({v}.double_value), 'e([0-9])', 'e+\\\\1')"
_ELEMENT = (
    "multiIf(x.value = 'string_value', toJSONString(x.string_value), "
    "x.value = 'int_value', toString(x.int_value), "
    # JSON has no number for infinities and NaN: they are quoted.
    f"x.value = 'double_value', if(isFinite(x.double_value), {_DOUBLE.format(v='x')}, "
    "concat('\"', toString(x.double_value), '\"')), "
    "x.value = 'bool_value', if(x.bool_value, 'true', 'false'), "
    "x.value = 'bytes_value', {bytes}, 'null')"
)
_ARRAY = f"concat('[', arrayStringConcat(arrayMap(x -> {_ELEMENT}, v.array_value.values), ','), ']')"
_ANY_VALUE = (
    "multiIf(v.value = 'string_value', {string}, "
    "v.value = 'int_value', toString(v.int_value), "
    f"v.value = 'double_value', {_DOUBLE.format(v='v')}, "
    "v.value = 'bool_value', if(v.bool_value, 'true', 'false'), "
    "v.value = 'bytes_value', {bytes}, "
    "v.value = 'array_value', {array}, '')"
)


def _plain_texts(values: str) -> str:
    """The array of attribute values `values` as texts."""
    array = _ARRAY.replace("{bytes}", "toJSONString(base64Encode(x.bytes_value))")
    text = _filled(_ANY_VALUE, string="v.string_value", bytes="base64Encode(v.bytes_value)", array=array)
    return f"arrayMap(v -> {text}, {values})"


def _raw_texts(values: str) -> str:
    """What is text of attribute values: strings, and arrays as JSON; '' of others."""
    array = _ARRAY.replace("{bytes}", f"'\"{BYTES_MARK}\"'")
    text = f"multiIf(v.value = 'string_value', v.string_value, v.value = 'array_value', {array}, '')"
    return f"arrayMap(v -> {text}, {values})"


def _cleaned_texts(values: str, cleaned: str) -> str:
    """Attribute values as texts, those of `_raw_texts` cleaned. No pattern can be read in bytes: they go."""
    text = _filled(_ANY_VALUE, string="t", bytes=literal(BYTES_MARK), array="t")
    return f"arrayMap((v, t) -> {text}, {values}, {cleaned})"


def _filled(text: str, **values: str) -> str:
    """`text` with what is in braces replaced."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], text)


def _map_of(keys: str, values: str, keep: str = "") -> str:
    """A Map of two parallel arrays, newest first; of a key given twice the first here (the last sent) stays.

    The engine's Map reads the first of two equal keys but keeps both, so repeats are taken out. `keep` names
    an array that says which entries stay at all. The text is short on purpose: the views that decode are
    analysed anew for every insert, which takes as long as two thousand spans.
    """
    wanted, tail, and_wanted = (f", {keep}", ", b", " AND b") if keep else ("", "", "")
    first = f"n = 1{and_wanted}, "
    occurrence = f"arrayEnumerateUniq({keys})"
    return (
        f"mapFromArrays(arrayFilter((k, n{tail}) -> {first}{keys}, {occurrence}{wanted}), "
        f"arrayFilter((v, n{tail}) -> {first}{values}, {occurrence}{wanted}))"
    )


def _attributes_map(pairs: str, redaction: Redaction, event: str = "") -> str:
    """The Map of an array of OTLP attributes; `event` names the event that they belong to, if any."""
    keys, values = f"{pairs}.key", f"{pairs}.value"
    if redaction.replaces:
        # Keys and values are searched together, and once: a Map takes its arrays several times.
        vals = f"arrayReverse({_cleaned_texts(values, f'arraySlice(l, length({keys}) + 1)')})"
        named = f"arrayReverse(arraySlice(l, 1, length({keys})))"
        mapped = f"arrayMap((ks, vs) -> {_map_of('ks', 'vs')}, [{named}], [{vals}])[1]"
        mapped = let("l", redaction.clean(f"arrayConcat({keys}, {_raw_texts(values)})"), mapped)
    else:
        mapped = _map_of(f"arrayReverse({keys})", f"arrayReverse({_plain_texts(values)})")
    return dialects.without_content(mapped, event) if redaction.drop_content else mapped


def _landed_map(attributes: str, redaction: Redaction, event: str = "") -> str:
    """A Map as another writer sent it, as `_attributes_map` gives those of requests."""
    if redaction.replaces:
        pairs = f"arrayConcat(CAST(mapKeys({attributes}) AS Array(String)), mapValues({attributes}))"
        size = f"length(mapKeys({attributes}))"
        cleaned = f"mapFromArrays(arraySlice(l, 1, {size}), arraySlice(l, {size} + 1))"
        attributes = let("l", redaction.clean(pairs), cleaned)
    return dialects.without_content(attributes, event) if redaction.drop_content else attributes


_USAGE_SELECT = """SELECT
    Project,
    toStartOfInterval(toDateTime(Timestamp), INTERVAL 10 SECOND) AS Time,
    ServiceName,
    Provider,
    Model,
    ResponseModel,
    Operation,
    UserId,
    Experiment,
    RunId,
    PromptName,
    PromptVersion,
    Simulated,
    {calls} AS Calls,
    {errors} AS Errors,
    {unknown} AS UnknownUsage,
    {InputTokens} AS InputTokens,
    {OutputTokens} AS OutputTokens,
    {CacheReadTokens} AS CacheReadTokens,
    {CacheWriteTokens} AS CacheWriteTokens,
    {ReasoningTokens} AS ReasoningTokens,
    {duration} AS DurationSum,
    count() AS Spans,
    countIf(UsageFault != '') AS UsageFaults,
    countIf(TimeToFirstToken IS NOT NULL) AS TtftCount,
    quantilesTDigestState(0.5, 0.95, 0.99)(toFloat64(Duration / 1e9)) AS LatencyDigest,
    quantilesTDigestStateIf(0.5, 0.95, 0.99)(
        ifNull(TimeToFirstToken, 0), TimeToFirstToken IS NOT NULL
    ) AS TtftDigest,
    ServiceTier,
    {context} AS ContextClass,
    {counts}
FROM {source} AS span
WHERE Counted {where}
GROUP BY Project, Time, ServiceName, Provider, Model, ResponseModel, Operation, UserId, Experiment, RunId,
    PromptName, PromptVersion, Simulated, ServiceTier, ContextClass"""


def usage_select(source: str, where: str = "") -> str:
    """SELECT of rollup rows over the counted spans of `source`; `where` is `AND …`.

    A span of weight 10 stands for ten calls: sums are weighted, and `Spans` counts the spans themselves.
    """

    return _USAGE_SELECT.format(
        source=source,
        where=where,
        calls=_weighted("1"),
        errors=_weighted("StatusCode = 'Error'"),
        unknown=_weighted("span.InputTokens IS NULL AND span.OutputTokens IS NULL"),
        duration=_weighted("Duration"),
        context=charges.context_class("span.InputTokens"),
        counts=_sums(charges.SPAN_COUNTS),
        **{name: _weighted(f"ifNull(span.{name}, 0)") for name in charges.COUNTS},
    )


_HOUR_SELECT = """SELECT
    Project,
    toStartOfHour(toDateTime(Timestamp, 'UTC')) AS Time,
    ServiceName,
    Provider,
    Model,
    ResponseModel,
    ServiceTier,
    {context} AS ContextClass,
    Operation,
    UserId,
    Experiment,
    RunId,
    PromptName,
    PromptVersion,
    Simulated,
    Account,
    arraySort(span.Tags) AS Tags,
    {calls} AS Calls,
    {errors} AS Errors,
    {unknown} AS UnknownUsage,
    {counts}
FROM otel_traces AS span
WHERE Counted
GROUP BY Project, Time, ServiceName, Provider, Model, ResponseModel, ServiceTier, ContextClass, Operation,
    UserId, Experiment, RunId, PromptName, PromptVersion, Simulated, Account, Tags"""


def _hour_select() -> str:
    """SELECT of rows of `usage_hour`."""
    return _HOUR_SELECT.format(
        context=charges.context_class("span.InputTokens"),
        calls=_weighted("1"),
        errors=_weighted("StatusCode = 'Error'"),
        unknown=_weighted("span.InputTokens IS NULL AND span.OutputTokens IS NULL"),
        counts=_sums(charges.COUNTS),
    )


def _weighted(number: str) -> str:
    return f"toUInt64(round(least(sum(Weight * ({number})), 1e19)))"


def _sums(names: Iterable[str]) -> str:
    """Select items of counts added up over `span`, each span as often as it stands for."""
    return ",\n    ".join(f"{_weighted(f'ifNull(span.{name}, 0)')} AS {name}" for name in names)


def _count_columns() -> str:
    """Columns of counts that rollups gained, as items of ALTER TABLE."""
    kind = "SimpleAggregateFunction(sum, UInt64)"
    return ",\n".join(f"    ADD COLUMN IF NOT EXISTS {name} {kind}" for name in charges.SPAN_COUNTS)


def _price_columns(existing: Iterable[str]) -> str:
    """Columns of unit prices that a table does not have yet, as items of ALTER TABLE."""
    names = [name for name in charges.PRICES if name not in existing]
    return ",\n".join(f"    ADD COLUMN IF NOT EXISTS {name} Nullable(Float64)" for name in names)


def protobuf_schema() -> str:
    """The message definitions by which the engine reads the log, without comments and line breaks."""
    text = (resources.files(__package__) / "sql" / "otlp.proto").read_text()
    return " ".join(re.sub(r"//[^\n]*", "", text).split())


def _part(name: str, **values: str) -> str:
    """A piece of SQL that several statements share."""
    text = (resources.files(__package__) / "sql" / "parts" / f"{name}.sql").read_text()
    text = re.sub(r"^\s*--[^\n]*\n", "", text, flags=re.MULTILINE)
    return _filled(text, **values)


#: Where a span's texts stand, in requests and in the landing table.
_DECODED = {
    "span_name": "span.name",
    "message": "span.status.message",
    "state": "span.trace_state",
    "scope": "scope_name",
    "scope_version": "ScopeVersion",
    "link_states": "span.links.trace_state",
    "event_names": "span.events.name",
    "keys": "span.attributes.key",
}
_LANDED = {
    "span_name": "CAST(SpanName AS String)",
    "message": "StatusMessage",
    "state": "TraceState",
    "scope": "ScopeName",
    "scope_version": "ScopeVersion",
    "link_states": "`Links.TraceState`",
    "event_names": "CAST(`Events.Name` AS Array(String))",
    "keys": "CAST(mapKeys(SpanAttributes) AS Array(String))",
}
#: Those that are one text each.
_SINGLE = ("span_name", "message", "state", "scope", "scope_version")


def _span_texts(redaction: Redaction, *, landed: bool) -> dict[str, str]:
    """What a part reads a span's texts from: where they stand, or one array of them, cleaned at once."""
    stand = _LANDED if landed else _DECODED
    attributes = "span.attributes.value"
    if not redaction.replaces:
        values = "mapValues(SpanAttributes)" if landed else _plain_texts(attributes)
        return {**stand, "values": values, "open": "", "close": "", "more": ""}
    raw = "mapValues(SpanAttributes)" if landed else _raw_texts(attributes)
    many = ("link_states", "event_names", "keys")
    single = ", ".join(stand[name] for name in _SINGLE)
    every = f"arrayConcat([{single}], {', '.join(stand[name] for name in many)}, {raw})"
    texts = {name: f"cleaned[{position}]" for position, name in enumerate(_SINGLE, 1)}
    start = str(len(_SINGLE) + 1)
    for name in many:
        texts[name] = f"arraySlice(cleaned, {start}, length({stand[name]}))"
        start += f" + length({stand[name]})"
    rest = f"arraySlice(cleaned, {start})"
    return {
        **texts,
        "values": rest if landed else _cleaned_texts(attributes, rest),
        "open": f"(SELECT *, {redaction.clean(every)} AS cleaned FROM ",  # noqa: S608, names of ours
        "close": ")",
        "more": ",\n    cleaned",
    }


def _nested_maps(redaction: Redaction, *, landed: bool) -> str:
    """The maps of a span's events, then of its links."""
    if landed:
        maps, names = "arrayConcat(`Events.Attributes`, `Links.Attributes`)", _LANDED["event_names"]
        if not redaction.on:
            return maps
        nested_map = _landed_map("a", redaction, "said" if redaction.drop_content else "")
    else:
        maps, names = "arrayConcat(span.events.attributes, span.links.attributes)", _DECODED["event_names"]
        nested_map = _attributes_map("a", redaction, "said" if redaction.drop_content else "")
    if not redaction.drop_content:
        return f"arrayMap(a -> {nested_map}, {maps})"
    links = (_LANDED if landed else _DECODED)["link_states"]
    return f"arrayMap((a, said) -> {nested_map}, {maps}, arrayConcat({names}, arrayMap(s -> '', {links})))"


def _spans(source: str, redaction: Redaction, *, foreign: bool, landed: bool = False) -> str:
    """SELECT of the rows of `otel_traces` out of `source`, requests or the landing table: the foreign spans
    or the others.
    """
    resource = "ResourceAttributes" if landed else "resource_span.resource.attributes"
    decoded = _part(
        "landed_spans" if landed else "decoded_spans",
        source=source,
        codes=dialects.codes("keys"),
        nested_maps=_nested_maps(redaction, landed=landed),
        resource_map=_landed_map(resource, redaction) if landed else _attributes_map(resource, redaction),
        **_span_texts(redaction, landed=landed),
    )
    chosen = f"SELECT * FROM ({decoded}) WHERE {'' if foreign else 'NOT '}{dialects.is_foreign()}"  # noqa: S608, names of ours
    if foreign:
        chosen = f"SELECT * FROM ({dialects.translated(chosen)}) WHERE {dialects.not_pending()}"  # noqa: S608, names of ours
    texts = f"SELECT *, {dialects.texts(foreign)}, {dialects.remaining_keys(foreign)} AS keep FROM ({chosen})"  # noqa: S608, names of ours
    if redaction.drop_content:
        texts = dialects.without_texts(texts)
    columns = _part(
        "span_columns",
        span_map=_map_of("keys", "vals", keep="keep"),
        columns=dialects.selects(),
        scope="cleaned[4]" if redaction.replaces else "scope_name",
    )
    return f"{columns} FROM ({texts})"


def foreign_probe() -> str:
    """SELECT that says of a segment's file whether it holds foreign spans; `{file}` and `{schema}` in it
    stand for quoted texts.

    Only scope names and keys are read, which takes a few percent of an insert's time.
    """
    structure = (
        "request Tuple(resource_spans Array(Tuple(scope_spans Array(Tuple(scope Tuple(name String), "
        "spans Array(Tuple(attributes Array(Tuple(key String)))))))))"
    )
    spans = "request.resource_spans.scope_spans"
    condition = dialects.any_foreign(
        f"arrayFlatten({spans}.spans.attributes.key)", f"arrayFlatten({spans}.scope.name)"
    )
    return (
        "SELECT count() FROM (SELECT 1 "  # noqa: S608, names of ours
        f"FROM file({{file}}, 'Protobuf', {literal(structure)}) WHERE {condition} LIMIT 1) "
        "SETTINGS format_schema = {schema}"
    )


def _priced_calls(which: str) -> str:
    counts = ",\n    ".join(f"ifNull(span.{name}, 0) AS {name}" for name in charges.COUNTS)
    context = charges.context_class("span.InputTokens")
    return charges.priced(f"({_part('calls', context=context, counts=counts, which=which)})")


def _charge_values() -> dict[str, str]:
    """What the statements of charges are rendered with."""
    known = "price.Priced AND usage.UnknownUsage = 0"
    return {
        "span_columns": charges.span_columns(),
        "count_columns": _count_columns(),
        "price_columns": _price_columns(()),
        "hour_select": _hour_select(),
        "charges": charges.columns(),
        "call_charges": charges.columns(known),
        "unit_prices": charges.unit_prices(),
        "priced_hours": charges.priced("usage_hour"),
        "priced_usage": charges.priced("usage_10s"),
        "priced_calls": _priced_calls("Counted"),
        # What a client's next attempt stands for, where it reported tokens of its own.
        "priced_attempts": _priced_calls("IsLlm AND Uncounted = 'sender' AND StatusCode = 'Error'"),
    }


def migrations(retention_days: int, redaction: Redaction = NOTHING) -> dict[int, list[str]]:
    """Every migration's statements, rendered, by number."""
    body = "[record.body]"
    log_body = f"{_plain_texts(body)}[1]"
    if redaction.replaces:
        log_body = f"{_cleaned_texts(body, redaction.clean(_raw_texts(body)))}[1]"
    if redaction.drop_content:
        conversation = dialects.is_conversation(EVENT_OF_LOG.replace("e.", "record."))
        log_body = f"if({conversation}, '', {log_body})"
    values = {
        "durable": DURABLE,
        "retention_days": str(retention_days),
        "default_columns": dialects.default_columns(),
        "key_values": _KEY_VALUES,
        "value": _VALUE,
        "log_body": log_body,
        "log_map": f"arrayMap(e -> {_attributes_map('e.attributes', redaction, EVENT_OF_LOG)}, [record])[1]",
        "log_names": redaction.clean("[record.severity_text, record.event_name, scope_name, scope_version]"),
        "nested_map": _attributes_map("e.attributes", redaction),
        "resource_map": _attributes_map("resource_span.resource.attributes", redaction),
        "plain_spans": _spans("otlp_traces_in", redaction, foreign=False),
        "foreign_spans": _spans("otlp_foreign_in", redaction, foreign=True),
        "landed_plain_spans": _spans("landing_traces", redaction, foreign=False, landed=True),
        "landed_foreign_spans": _spans("landing_traces", redaction, foreign=True, landed=True),
        "usage_select": usage_select("otel_traces"),
        "span_messages": dialects.log_messages(),
        **_charge_values(),
    }
    by_version: dict[int, list[str]] = {}
    for file in sorted((resources.files(__package__) / "sql").iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".sql"):
            continue
        text = re.sub(r"^\s*--[^\n]*$", "", file.read_text(), flags=re.MULTILINE)
        rendered = _filled(text, **values)
        by_version[int(file.name.split("_", 1)[0])] = [
            statement.strip() for statement in rendered.split(";\n") if statement.strip()
        ]
    return by_version


_DECODING = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS (otlp_\w+_mv|landing_\w+_mv) TO \w+ AS\s+(.*)",
    re.DOTALL,
)

#: Migrations of tables that others write to: the embedded engine has one owner, and remakes views at a start.
SERVER_ONLY = frozenset({41})

#: Which migrations a store has.
VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_versions (Version UInt32, AppliedAt DateTime)\n"
    f"ENGINE = MergeTree\nORDER BY Version\nSETTINGS {DURABLE}"
)


def _for_home(engine: StoreEngine, statements: list[str], names: Names) -> list[str]:
    """Statements as the engine's home needs them."""
    return statements if engine.cluster is None else engine.cluster.render(statements, names)


def decoding_views(redaction: Redaction, *, embedded: bool = False) -> dict[str, str]:
    """The views that decode what comes in: name → SELECT. They differ by what is left out; the `embedded`
    engine has fewer.
    """
    views = {}
    for version, statements in migrations(1, redaction).items():
        for statement in () if embedded and version in SERVER_ONLY else statements:
            named = _DECODING.match(statement)
            if named is not None:
                views[named.group(1)] = named.group(2)
    return views


def migrate(engine: StoreEngine, retention_days: int, redaction: Redaction = NOTHING) -> int:
    """Bring the schema up to date and return its version. Each statement may run twice without harm.

    Raises ValueError where the engine cannot run a pattern of `redaction`.
    """
    check_patterns(engine, redaction.patterns)
    wanted = {0: [VERSIONS], **migrations(retention_days, redaction)}
    names = names_of(wanted)
    for statement in _for_home(engine, wanted.pop(0), names):
        engine.execute(statement)
    # The numbers of parts of the schema leave gaps, and a gap may be filled later.
    applied = {int(text) for text in engine.read("SELECT Version FROM schema_versions").split()}
    fresh = not applied
    for version in sorted(wanted):
        if version in applied or (version in SERVER_ONLY and isinstance(engine, EmbeddedEngine)):
            continue
        statements = _for_home(engine, wanted[version], names)
        for statement in statements:
            engine.execute(statement)
        # Recorded last: a migration that failed half-way runs again from its first statement.
        engine.insert_bytes(
            f"{engine.everywhere}schema_versions (Version, AppliedAt)",
            f'{{"Version": {version}, "AppliedAt": {_now(engine)}}}'.encode(),
            "JSONEachRow",
        )
        applied.add(version)
    _set_views(engine, redaction, names, fresh=fresh)
    _set_retention(engine, retention_days)
    return max(applied)


def _set_views(engine: StoreEngine, redaction: Redaction, names: Names, *, fresh: bool) -> None:
    """Let the decoding views be those of this version and `redaction`; each is changed in one step. In a
    `fresh` store they are that already.
    """
    rows = engine.read("SELECT Name, argMax(Digest, At) FROM decoding_views GROUP BY Name").decode()
    known = dict(line.split("\t") for line in rows.splitlines())
    embedded = isinstance(engine, EmbeddedEngine)
    for name, select in decoding_views(redaction, embedded=embedded).items():
        digest = hashlib.sha256(select.encode()).hexdigest()
        if known.get(name) == digest:
            continue
        if not fresh:
            for statement in _for_home(engine, [f"ALTER TABLE {name} MODIFY QUERY\n{select}"], names):
                engine.execute(statement)
        engine.insert_bytes(
            f"{engine.everywhere}decoding_views (Name, Digest)",
            json.dumps({"Name": name, "Digest": digest}).encode(),
            "JSONEachRow",
        )


def _now(engine: StoreEngine) -> int:
    return int(engine.execute("SELECT toUnixTimestamp(now())").decode())


def _set_retention(engine: StoreEngine, days: int) -> None:
    """New spans get the configured retention; those stored keep the class they were written with."""
    for table in ("otel_traces", "otel_logs"):
        current = engine.execute(
            "SELECT default_expression FROM system.columns WHERE database = currentDatabase() "
            "AND table = {table:String} AND name = 'RetentionDays'",
            {"table": table},
        )
        if current.decode().strip() != str(days):
            engine.execute(f"ALTER TABLE {table} MODIFY COLUMN RetentionDays UInt16 DEFAULT {days}")
