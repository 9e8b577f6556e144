"""The schema: numbered SQL files, rendered, applied idempotently at start, with a version table."""

from __future__ import annotations

import re
from importlib import resources

from . import dialects
from .cluster import Names, names_of
from .engine import EmbeddedEngine, Engine

#: Settings of every table that an acknowledged span may reach: an insert returns when it is on disk, and
#: an insert repeated with the same token adds nothing. What one segment makes is one file of all columns: a
#: file of each column, every one of them made and synced, costs a third of the whole insert. Merges beyond
#: 64 MiB have a file of each. Every merge writes every prompt again: eight parts at a time instead of five
#: are a quarter fewer rounds.
DURABLE = (
    "fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000, "
    "min_bytes_for_wide_part = 67108864, merge_selector_base = 8"
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
    "x.value = 'bytes_value', toJSONString(base64Encode(x.bytes_value)), 'null')"
)
_ANY_VALUE = (
    "multiIf(v.value = 'string_value', v.string_value, "
    "v.value = 'int_value', toString(v.int_value), "
    f"v.value = 'double_value', {_DOUBLE.format(v='v')}, "
    "v.value = 'bool_value', if(v.bool_value, 'true', 'false'), "
    "v.value = 'bytes_value', base64Encode(v.bytes_value), "
    "v.value = 'array_value', "
    f"concat('[', arrayStringConcat(arrayMap(x -> {_ELEMENT}, v.array_value.values), ','), ']'), '')"
)


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


def _attributes_map(pairs: str) -> str:
    """The Map of an array of OTLP attributes."""
    keys = f"arrayReverse({pairs}.key)"
    values = f"arrayReverse(arrayMap(v -> {_ANY_VALUE}, {pairs}.value))"
    return _map_of(keys, values)


#: USD of one rollup row or span; cache buckets are parts of input and priced at their own rate where known.
_USAGE_COST = (
    "greatest(toFloat64(ifNull(usage.InputTokens, 0)) - usage.CacheReadTokens - usage.CacheWriteTokens, 0)"
    " * ifNull(price.InputPrice, 0)"
    " + usage.CacheReadTokens * coalesce(price.CacheReadPrice, price.InputPrice, 0)"
    " + usage.CacheWriteTokens * coalesce(price.CacheWritePrice, price.InputPrice, 0)"
    " + ifNull(usage.OutputTokens, 0) * ifNull(price.OutputPrice, 0)"
)

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
    ) AS TtftDigest
FROM {source} AS span
WHERE Counted {where}
GROUP BY Project, Time, ServiceName, Provider, Model, ResponseModel, Operation, UserId, Experiment, RunId,
    PromptName, PromptVersion, Simulated"""


def usage_select(source: str, where: str = "") -> str:
    """SELECT of rollup rows over the counted spans of `source`; `where` is `AND …`.

    A span of weight 10 stands for ten calls: sums are weighted, and `Spans` counts the spans themselves.
    """

    def weighted(number: str) -> str:
        return f"toUInt64(round(least(sum(Weight * ({number})), 1e19)))"

    tokens = ("InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens", "ReasoningTokens")
    return _USAGE_SELECT.format(
        source=source,
        where=where,
        calls=weighted("1"),
        errors=weighted("StatusCode = 'Error'"),
        unknown=weighted("span.InputTokens IS NULL AND span.OutputTokens IS NULL"),
        duration=weighted("Duration"),
        **{name: weighted(f"ifNull(span.{name}, 0)") for name in tokens},
    )


def protobuf_schema() -> str:
    """The message definitions by which the engine reads log records, comments and line breaks taken out."""
    text = (resources.files(__package__) / "sql" / "otlp.proto").read_text()
    return " ".join(re.sub(r"//[^\n]*", "", text).split())


def _part(name: str, **values: str) -> str:
    """A piece of SQL that several statements share."""
    text = (resources.files(__package__) / "sql" / "parts" / f"{name}.sql").read_text()
    text = re.sub(r"^\s*--[^\n]*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], text)


def _spans(source: str, *, foreign: bool, read: str = "decoded_spans") -> str:
    """SELECT of the rows of `otel_traces` out of `source`, by way of the part `read`: the foreign spans or
    the others."""
    decoded = _part(
        read,
        source=source,
        any_value=_ANY_VALUE,
        codes=dialects.codes("keys"),
        pairs_map=_attributes_map("a"),
        resource_map=_attributes_map("resource_span.resource.attributes"),
    )
    chosen = f"SELECT * FROM ({decoded}) WHERE {'' if foreign else 'NOT '}{dialects.is_foreign()}"  # noqa: S608, names of ours
    if foreign:
        chosen = f"SELECT * FROM ({dialects.translated(chosen)}) WHERE {dialects.not_pending()}"  # noqa: S608, names of ours
    texts = f"SELECT *, {dialects.texts(foreign)}, {dialects.kept(foreign)} AS keep FROM ({chosen})"  # noqa: S608, names of ours
    columns = _part("span_columns", span_map=_map_of("keys", "vals", keep="keep"), columns=dialects.selects())
    return f"{columns} FROM ({texts})"


def foreign_probe() -> str:
    """SELECT that says of a file of envelopes whether it holds foreign spans; `{file}` and `{schema}` in it
    stand for quoted texts.

    Only scope names and keys are read, which takes a few percent of an insert's time.
    """
    structure = (
        "request Tuple(resource_spans Array(Tuple(scope_spans Array(Tuple(scope Tuple(name String), "
        "spans Array(Tuple(attributes Array(Tuple(key String)))))))))"
    )
    spans = "request.resource_spans.scope_spans"
    found = dialects.any_foreign(
        f"arrayFlatten({spans}.spans.attributes.key)", f"arrayFlatten({spans}.scope.name)"
    )
    return (
        "SELECT count() FROM (SELECT 1 "  # noqa: S608, names of ours
        f"FROM file({{file}}, 'Protobuf', '{structure}') WHERE {found} LIMIT 1) "
        "SETTINGS format_schema = {schema}"
    )


def migrations(retention_days: int) -> dict[int, list[str]]:
    """Every migration's statements, rendered, by number."""
    values = {
        "durable": DURABLE,
        "retention_days": str(retention_days),
        "default_columns": dialects.default_columns(),
        "key_values": _KEY_VALUES,
        "value": _VALUE,
        "any_value": _ANY_VALUE,
        "nested_map": _attributes_map("e.attributes"),
        "resource_map": _attributes_map("resource_span.resource.attributes"),
        "plain_spans": _spans("otlp_traces_in", foreign=False),
        "foreign_spans": _spans("otlp_foreign_in", foreign=True),
        "landed_plain_spans": _spans("landing_traces", foreign=False, read="landed_spans"),
        "landed_foreign_spans": _spans("landing_traces", foreign=True, read="landed_spans"),
        "usage_cost": _USAGE_COST,
        "usage_select": usage_select("otel_traces"),
    }
    found: dict[int, list[str]] = {}
    for file in sorted((resources.files(__package__) / "sql").iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".sql"):
            continue
        text = re.sub(r"^\s*--[^\n]*$", "", file.read_text(), flags=re.MULTILINE)
        rendered = re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], text)
        found[int(file.name.split("_", 1)[0])] = [
            statement.strip() for statement in rendered.split(";\n") if statement.strip()
        ]
    return found


#: Migrations of tables that others write to: the embedded engine has one owner, who makes its views each time.
SERVER_ONLY = frozenset({41})

#: Which migrations a store has.
VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_versions (Version UInt32, AppliedAt DateTime)\n"
    f"ENGINE = MergeTree\nORDER BY Version\nSETTINGS {DURABLE}"
)


def _for_home(engine: Engine, statements: list[str], names: Names) -> list[str]:
    """Statements as the engine's home needs them."""
    return statements if engine.cluster is None else engine.cluster.render(statements, names)


def migrate(engine: Engine, retention_days: int) -> int:
    """Bring the schema up to date and return its version. Each statement may run twice without harm."""
    wanted = {0: [VERSIONS], **migrations(retention_days)}
    names = names_of(wanted)
    for statement in _for_home(engine, wanted.pop(0), names):
        engine.execute(statement)
    # The numbers of parts of the schema leave gaps, and a gap may be filled later.
    applied = {int(text) for text in engine.read("SELECT Version FROM schema_versions").split()}
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
    _set_retention(engine, retention_days)
    return max(applied)


def _now(engine: Engine) -> int:
    return int(engine.execute("SELECT toUnixTimestamp(now())").decode())


def _set_retention(engine: Engine, days: int) -> None:
    """New spans get the configured retention; those stored keep the class they were written with."""
    for table in ("otel_traces", "otel_logs"):
        current = engine.execute(
            "SELECT default_expression FROM system.columns WHERE database = currentDatabase() "
            "AND table = {table:String} AND name = 'RetentionDays'",
            {"table": table},
        )
        if current.decode().strip() != str(days):
            engine.execute(f"ALTER TABLE {table} MODIFY COLUMN RetentionDays UInt16 DEFAULT {days}")
