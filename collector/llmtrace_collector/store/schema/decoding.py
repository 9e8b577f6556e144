"""What comes in, decoded: the text of the columns of `otel_traces` and of the views that fill it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from llmtrace_collector.pricing import charges
from llmtrace_collector.sql_values import literal

from . import dialects, templates
from .dialects.sqltext import let
from .redaction import BYTES_MARK, Redaction

#: The name of a log record's event, which older SDKs send as an attribute.
EVENT_OF_LOG = (
    "if(e.event_name != '', e.event_name, "
    "e.attributes.value[indexOf(e.attributes.key, 'event.name')].string_value)"
)

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


@dataclass(frozen=True)
class Column:
    """A computed column of `otel_traces`."""

    name: str
    type: str
    default: str
    comment: str
    codec: str = ""


@dataclass(frozen=True)
class Decoding:
    """What the statements of views that decode are rendered with."""

    plain_spans: str
    foreign_spans: str
    landed_plain_spans: str
    landed_foreign_spans: str
    log_body: str
    log_map: str
    log_names: str
    log_messages: str
    nested_map: str
    resource_map: str


def decoding(redaction: Redaction) -> Decoding:
    """The text of what decodes, which leaves out what `redaction` says."""
    body = "[record.body]"
    log_body = f"{_plain_texts(body)}[1]"
    if redaction.replaces:
        log_body = f"{_cleaned_texts(body, redaction.clean(_raw_texts(body)))}[1]"
    if redaction.drop_content:
        conversation = dialects.is_conversation(EVENT_OF_LOG.replace("e.", "record."))
        log_body = f"if({conversation}, '', {log_body})"
    return Decoding(
        plain_spans=_spans("otlp_traces_in", redaction, foreign=False),
        foreign_spans=_spans("otlp_foreign_in", redaction, foreign=True),
        landed_plain_spans=_spans("landing_traces", redaction, foreign=False, landed=True),
        landed_foreign_spans=_spans("landing_traces", redaction, foreign=True, landed=True),
        log_body=log_body,
        log_map=f"arrayMap(e -> {_attributes_map('e.attributes', redaction, EVENT_OF_LOG)}, [record])[1]",
        log_names=redaction.clean("[record.severity_text, record.event_name, scope_name, scope_version]"),
        log_messages=dialects.log_messages(),
        nested_map=_attributes_map("e.attributes", redaction),
        resource_map=_attributes_map("resource_span.resource.attributes", redaction),
    )


def span_columns() -> list[Column]:
    """The computed columns of `otel_traces`, in order."""
    computed = [*dialects.default_columns(), *charges.span_columns(), *_timing_columns()]
    return [
        Column(name, kind, default, COMMENTS[name], CODECS.get(name, "")) for name, kind, default in computed
    ]


def _timing_columns() -> list[tuple[str, str, str]]:
    byte = "SpanAttributes['llmtrace.response.time_to_first_byte']"
    last = "SpanAttributes['llmtrace.response.time_to_last_token']"
    each = (
        "if(OutputTokens > 1, (ifNull(TimeToLastToken, Duration / 1e9) - TimeToFirstToken) / "
        "(OutputTokens - 1), NULL)"
    )
    return [
        ("TimeToFirstByte", "Nullable(Float64)", f"toFloat64OrNull({byte})"),
        ("TimeToLastToken", "Nullable(Float64)", f"toFloat64OrNull({last})"),
        ("TimePerOutputToken", "Nullable(Float64)", each),
        ("TpotEstimated", "Bool", "TimePerOutputToken IS NOT NULL AND TimeToLastToken IS NULL"),
    ]


#: What each computed column holds; a unit comes first.
COMMENTS = {
    "Operation": "What the span does: chat, text_completion, generate_content, embeddings, or another step",
    "Provider": "Provider that was called, by the convention's name",
    "RequestModel": "Model that was asked for",
    "ResponseModel": "Model that answered",
    "ResponseId": "The provider's id of the answer",
    "FinishReasons": "Why each choice of the answer ended",
    "ErrorType": "Kind of the error; empty without one",
    "UserId": "User for whom was called",
    "SessionId": "Conversation that the span belongs to",
    "Tags": "Tags that the program gave",
    "Experiment": "Experiment that the span belongs to",
    "RunId": "Run of that experiment",
    "PromptName": "Prompt that was used",
    "PromptVersion": "Version of that prompt",
    "InputTokens": "Tokens of input, cached ones among them; NULL where nobody told",
    "OutputTokens": "Tokens of output, those of reasoning among them; NULL where nobody told",
    "CacheReadTokens": "Tokens of input that were read from the cache",
    "CacheWriteTokens": "Tokens of input that were written to the cache",
    "ReasoningTokens": "Tokens of output that were reasoning",
    "TimeToFirstToken": "Seconds from begin to the first token",
    "Weight": "Calls that a sampled span stands for; 1 for the others",
    "InputMessages": "Messages that were sent, JSON of the GenAI conventions",
    "OutputMessages": "Messages that came back, JSON of the GenAI conventions",
    "SystemInstructions": "Instructions apart from the messages, JSON of the GenAI conventions",
    "ToolDefinitions": "Tools that the model could call, JSON of the GenAI conventions",
    "Model": "Model that was asked for, else the one that answered",
    "IsLlm": "Whether the span calls a model",
    "Uncounted": "Why a call does not count: sender, server, repeats or duplicate; empty where it does",
    "Counted": "Whether the span is a call that usage and cost count",
    "UsageFault": "What in its token counts contradicts itself; empty for nothing",
    "ServiceTier": "Tier by which prices differ; empty for the standard one, response_cache for no model",
    "Account": "Account at the provider that pays",
    "CacheWrite1hTokens": "Tokens written to the cache for an hour",
    "AudioInputTokens": "Tokens of input that were audio",
    "ImageInputTokens": "Tokens of input that were images",
    "CacheReadAudioTokens": "Tokens of audio that were read from the cache",
    "CacheReadImageTokens": "Tokens of images that were read from the cache",
    "AudioOutputTokens": "Tokens of output that were audio",
    "ImageOutputTokens": "Tokens of output that were images",
    "WebSearches": "Searches of the web that the provider ran",
    "FileSearches": "Searches of files that the provider ran",
    "TimeToFirstByte": "Seconds from begin to the first byte of the answer",
    "TimeToLastToken": "Seconds from begin to the last token",
    "TimePerOutputToken": "Seconds between two tokens of output, the first's time left out",
    "TpotEstimated": "Whether TimePerOutputToken takes the span's end for the last token's time",
}

#: Numbers that stay in a narrow range are cut to their bits (T64); ids are hexadecimal digits, of which ZSTD
#: codes the letters only from level 3 on.
CODECS = {
    **dict.fromkeys(
        ("InputTokens", "OutputTokens", "CacheReadTokens", "CacheWriteTokens", "ReasoningTokens"),
        "T64, ZSTD(1)",
    ),
    **dict.fromkeys(
        ("TimeToFirstToken", "Weight", "Operation", "Provider", "RequestModel", "ResponseModel", "Model",
         "FinishReasons", "Tags", "ErrorType", "Experiment", "RunId", "PromptName", "PromptVersion", "IsLlm",
         "Counted", "Uncounted", "UsageFault", "TimeToFirstByte", "TimeToLastToken", "TimePerOutputToken",
         "TpotEstimated"),
        "ZSTD(1)",
    ),
    **dict.fromkeys(
        ("ResponseId", "UserId", "SessionId", "InputMessages", "OutputMessages", "SystemInstructions",
         "ToolDefinitions"),
        "ZSTD(3)",
    ),
}  # fmt: skip


def protobuf_schema() -> str:
    """The message definitions by which the engine reads the log, without comments and line breaks."""
    text = (resources.files(__package__) / "sql" / "otlp.proto").read_text()
    return " ".join(re.sub(r"//[^\n]*", "", text).split())


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
    decoded = templates.render(
        f"parts/{'landed_spans' if landed else 'decoded_spans'}.sql",
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
    columns = templates.render(
        "parts/span_columns.sql",
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
