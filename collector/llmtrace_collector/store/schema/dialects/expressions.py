"""The table of dialects as SQL: the computed columns of `otel_traces`, and how decoded spans fill them.

The views that decode spans number each span's keys once (`codes`). A plain span's columns are picked by
number. Spans that carry some other known key are foreign and have a view of their own, where `translation` is
an array of texts with one element per column: an insert without foreign spans does not pay for it.
"""

from __future__ import annotations

from llmtrace import semconv
from llmtrace_collector.sql_values import literal, literals

from . import messages
from .attribute_table import (
    COUNTED_KEY,
    FIELDS,
    FINISH_REASONS,
    FIRST_TOKEN_AT,
    FIRST_TOKEN_EVENTS,
    FIRST_TOKEN_MS,
    FOREIGN_SCOPES,
    INDEXED,
    LLM_OPERATIONS,
    OPERATIONS,
    PROVIDER_NAMES,
    SENTINELS,
    SYSTEM,
    TEXT_COLUMNS,
    VLLM_TIMES,
    VLLM_TTFT,
    Field,
    key_of,
)
from .sqltext import Sources, Step, attribute, first, let, renamed

_COUNTED = len(FIELDS) + 1
_FIRST_TEXT = _COUNTED + 1
_LAST_TEXT = _COUNTED + len(TEXT_COLUMNS)
#: Keys whose text moves to a text column, on spans that call a model.
_FOREIGN_TEXT = 200
_FOREIGN = 250

_FIELD = {field.name: field for field in FIELDS}
_NUMBERS = ("count", "count_or_0", "seconds", "weight")
_PENDING = len(FIELDS) + len(TEXT_COLUMNS) + 1


def default_columns() -> list[tuple[str, str, str]]:
    """The computed columns of `otel_traces`: name, type and `DEFAULT`.

    The defaults, over `SpanAttributes`, serve writers that do not come through the decoding view; they know
    the OpenTelemetry conventions' keys, not the other dialects.
    """
    columns = [(field.name, field.type, _default(field)) for field in FIELDS]
    columns += [(name, "String", "") for name in TEXT_COLUMNS]
    return columns + [(name, kind, text) for name, (kind, text) in _derived("SpanAttributes").items()]


def codes(keys: str) -> str:
    """Each key's number; 0 for keys that are not in the table."""
    numbers = _numbers()
    return (
        f"arrayMap(k -> transform(k, [{literals(numbers)}], "
        f"[{', '.join(map(str, numbers.values()))}], toUInt8(0)), {keys})"
    )


def _numbers() -> dict[str, int]:
    numbers = {field.keys[0]: index for index, field in enumerate(FIELDS, 1)}
    numbers[COUNTED_KEY] = _COUNTED
    for index, names in enumerate(TEXT_COLUMNS.values(), _FIRST_TEXT):
        numbers[names[0]] = index
        for name in names[1:]:
            numbers[key_of(name)] = _FOREIGN_TEXT
    for key in (*SENTINELS, *(key_of(key) for field in FIELDS for key in field.keys[1:])):
        numbers.setdefault(key, _FOREIGN)
    for key in ("ai.response.text", "ai.response.toolCalls", "ai.response.reasoning", "ai.result.text"):
        numbers[key] = _FOREIGN_TEXT
    return numbers


def is_foreign() -> str:
    """Whether a span needs its translation."""
    return f"(arrayMax(codes) >= {_FOREIGN_TEXT} OR scope_name IN ({literals(FOREIGN_SCOPES)}))"


def any_foreign(keys: str, scopes: str) -> str:
    """Whether spans with these keys and scopes, arrays of one request's, include a foreign one."""
    known = [key for key, code in _numbers().items() if code >= _FOREIGN_TEXT]
    scoped = f"hasAny({scopes}, [{literals(FOREIGN_SCOPES)}])"
    return f"arrayExists(k -> k IN ({literals(known)}), {keys}) OR {scoped}"


def _foreign_codes() -> str:
    """`codes` with flattened messages and tools marked as text."""
    prefixes = [*(prefix for names in INDEXED.values() for prefix in names), "llm.prompts", "llm.choices"]
    pattern = literal("^(" + "|".join(prefix.replace(".", "\\.") for prefix in prefixes) + ")\\.\\d")
    flat = f"c IN (0, {_FOREIGN}) AND match(k, {pattern})"
    return f"arrayMap((k, c) -> if({flat}, {_FOREIGN_TEXT}, c), keys, codes)"


def remaining_keys(foreign: bool) -> str:
    """Whether each key stays in the map: text that has a column of its own does not."""
    if not foreign:
        return f"arrayMap(c -> c < {_FIRST_TEXT} OR c > {_LAST_TEXT}, codes)"
    last = f"if(operation IN ({literals(LLM_OPERATIONS)}), {_FOREIGN_TEXT}, {_LAST_TEXT})"
    return f"arrayMap(c -> c < {_FIRST_TEXT} OR c > {last}, {_foreign_codes()})"


def translated(source: str) -> str:
    """`source`, a SELECT of decoded foreign spans with `keys`, `vals` and `codes`, with its translation.

    Each step is a SELECT of its own: the engine's analyzer writes names of a WITH out wherever they are used
    and goes through nested lambdas again and again, which takes longer than an insert of thousands of spans.
    """
    sources = Sources()
    counts = Step("counts", _count("u"))
    texts = {field.name: _translated(field, sources, counts) for field in FIELDS}
    texts["Operation"] = "operation"
    texts["TimeToFirstToken"] = _first_token(texts["TimeToFirstToken"], sources)
    conversation, columns = _conversation(sources)
    row = [*texts.values()]
    for column, text in columns.items():
        row.append(
            f"if(operation IN ({literals(LLM_OPERATIONS)}), {text}, {attribute(TEXT_COLUMNS[column][0])})"
        )
    answered = (texts["OutputTokens"], attribute("response_data"), attribute(semconv.OUTPUT_MESSAGES))
    streamed = " AND ".join(f"{text} = ''" for text in answered)
    row.append(
        f"multiIf({attribute('logfire.span_type')} = 'pending_span', '1', "
        f"startsWith(scope_name, 'logfire.') AND {streamed}, 'begun', '')"
    )
    operation = _operation(sources, counts)
    steps = {
        "attrs": "mapFromArrays(keys, vals)",
        "flat": messages.flattened(),
        "json": sources.json.expression(),
        "found": sources.values.expression(),
        "counts": counts.expression(),
        "operation": operation,
        "conversation": conversation,
        "translation": f"[{', '.join(row)}]",
    }
    for name, text in steps.items():
        source = f"SELECT *, {text} AS {name} FROM ({source})"  # noqa: S608, nothing here comes from outside
    return source


def not_pending() -> str:
    """Logfire announces spans before they end; only the whole span is kept."""
    return f"translation[{_PENDING}] != '1'"


def texts(foreign: bool) -> str:
    """Select expressions of every column's text, over `translation` or over `vals` and `codes`."""
    names = [*(field.name for field in FIELDS), *TEXT_COLUMNS]
    numbers = [*range(1, len(FIELDS) + 1), *range(_FIRST_TEXT, _LAST_TEXT + 1)]
    lines = [
        f"{f'translation[{position}]' if foreign else f'vals[indexOf(codes, {number})]'} AS text_{name}"
        for position, (name, number) in enumerate(zip(names, numbers, strict=True), 1)
    ]
    counted = f"vals[indexOf(codes, {_COUNTED})]"
    if foreign:
        # Logfire tells of a stream twice: when it begins, and in a log with the usage when it has ended.
        begun = f"translation[{_PENDING}] = 'begun' AND StatusCode != 'Error'"
        counted = f"if({begun}, 'false', {counted})"
    lines.append(f"{counted} AS text_counted")
    return ",\n".join(lines)


def selects() -> str:
    """Select expressions of every computed column, over their texts."""
    lines = [f"    {_converted(field, f'text_{field.name}')} AS {field.name}" for field in FIELDS]
    lines += [f"    text_{column} AS {column}" for column in TEXT_COLUMNS]
    lines += [f"    {text} AS {name}" for name, (_, text) in _derived("", "text_counted").items()]
    return ",\n".join(lines)


def _derived(attributes: str, counted: str = "") -> dict[str, tuple[str, str]]:
    """Columns computed from the others: name → (type, expression)."""
    counted = counted or f"{attributes}[{literal(COUNTED_KEY)}]"
    return {
        "Model": ("LowCardinality(String)", "if(RequestModel != '', RequestModel, ResponseModel)"),
        "IsLlm": ("Bool", f"Operation IN ({literals(LLM_OPERATIONS)})"),
        # A server's span inside a trace repeats the usage of the client's span above it.
        "Uncounted": (
            "LowCardinality(String)",
            f"multiIf(NOT IsLlm, '', {counted} = 'false', 'sender', "
            "SpanKind = 'Server' AND ParentSpanId != '', 'server', '')",
        ),
        "Counted": ("Bool", "IsLlm AND Uncounted = ''"),
        "UsageFault": (
            "LowCardinality(String)",
            "multiIf(CacheReadTokens + CacheWriteTokens > ifNull(InputTokens, 0), 'cache exceeds input', "
            "ReasoningTokens > ifNull(OutputTokens, 0), 'reasoning exceeds output', '')",
        ),
    }


def _default(field: Field) -> str:
    known = ("gen_ai.", "llmtrace.", "user.", "enduser.", "session.", "error.")
    keys = [key for key in field.keys if ">" not in key and key.startswith(known)]
    tried = [f"SpanAttributes[{literal(key)}]" for key in keys]
    branches = "".join(f"{text} != '', {text}, " for text in tried[:-1])
    return _converted(field, f"multiIf({branches}{tried[-1]})" if branches else tried[0])


def _converted(field: Field, text: str) -> str:
    """The text of a column as its type."""
    if field.convert == "count":
        return f"toUInt64OrNull({text})"
    if field.convert == "count_or_0":
        return f"toUInt64OrZero({text})"
    if field.convert == "seconds":
        return f"toFloat64OrNull({text})"
    if field.convert == "weight":
        # What is not a positive number weighs as much as no weight at all.
        number = f"toFloat64OrZero({text})"
        return f"if({number} > 0 AND {number} < 1e9, {number}, 1)"
    if field.convert in ("strings", "finish_reasons"):
        # JSON text of an array, or one bare string.
        array = (
            f"if(startsWith({text}, '['), JSONExtract({text}, 'Array(String)'), "
            f"if({text} = '', emptyArrayString(), [{text}]))"
        )
        if field.convert == "strings":
            return array
        return f"arrayMap(r -> {renamed('lower(r)', FINISH_REASONS, 'r')}, {array})"
    if field.convert == "provider":
        return renamed(text, PROVIDER_NAMES)
    return text


def _translated(field: Field, sources: Sources, counts: Step) -> str:
    if field.convert == "operation":
        return ""
    text = sources.value(field.keys)
    if field.convert == "provider":
        return renamed(f"lower({text})", PROVIDER_NAMES, text)
    if field.name == "Tags":
        # Langfuse takes a list, JSON or text with commas.
        return (
            f"if(position({text}, ',') > 0 AND NOT startsWith({text}, '['), "
            f"toJSONString(splitByChar(',', {text})), {text})"
        )
    if field.name == "CacheWriteTokens":
        return _cache_writes(counts.add(text), sources)
    if field.name == "InputTokens":
        return _inclusive_input(counts.add(text), sources, counts)
    return counts.add(text) if field.convert in _NUMBERS else text


def _count(text: str) -> str:
    """Numbers that arrive as doubles or as JSON of a protobuf value."""
    inner = f"JSONExtractRaw({text}, 'intValue')"
    return (
        f"multiIf(startsWith({text}, '{{'), replaceAll({inner}, '\"', ''), "
        f"endsWith({text}, '.0'), substring({text}, 1, length({text}) - 2), {text})"
    )


def _operation(sources: Sources, counts: Step) -> str:
    named = attribute(semconv.OPERATION_NAME)
    kinds = [f"if({named} = '', '', {renamed(f'lower({named})', OPERATIONS[semconv.OPERATION_NAME], named)})"]
    for key, meanings in OPERATIONS.items():
        if key != semconv.OPERATION_NAME:
            kinds.append(renamed(f"lower({sources.json.add(attribute(key))})", meanings, "''"))
    # vLLM's engine names no operation; older conventions neither.
    timed = " OR ".join(f"{attribute(key)} != ''" for key in (*VLLM_TIMES, VLLM_TTFT))
    kinds.append(f"if({timed}, 'text_completion', '')")
    used = counts.add(sources.value(_FIELD["InputTokens"].keys))
    kinds.append(
        f"if({attribute(SYSTEM)} != '' AND {attribute(semconv.REQUEST_MODEL)} != '' "
        f"AND {used} != '', 'chat', '')"
    )
    kinds.append(
        f"if({sources.source('request_data>model')} != '' AND {attribute('logfire.span_type')} != 'log', "
        "'chat', '')"
    )
    # LiteLLM calls a chat a completion.
    return let("o", first(kinds), "if(scope_name = 'litellm' AND o = 'text_completion', 'chat', o)")


def _cache_writes(text: str, sources: Sources) -> str:
    """Langfuse splits cache writes by lifetime."""
    parts = [
        f"toUInt64OrZero({sources.source(f'langfuse.observation.usage_details>{key}')})"
        for key in ("input_cache_creation_5m", "input_cache_creation_1h")
    ]
    total = " + ".join(parts)
    return f"multiIf({text} != '', {text}, {total} = 0, '', toString({total}))"


def _inclusive_input(text: str, sources: Sources, counts: Step) -> str:
    """Input tokens with those of the cache in them, for dialects that leave them out."""
    read = counts.add(sources.value(_FIELD["CacheReadTokens"].keys))
    write = _cache_writes(counts.add(sources.value(_FIELD["CacheWriteTokens"].keys)), sources)
    output = counts.add(sources.value(_FIELD["OutputTokens"].keys))
    total = sources.source("langfuse.observation.usage_details>total")
    langfuse = (
        f"{attribute(semconv.USAGE_INPUT_TOKENS)} = '' "
        f"AND {sources.source('langfuse.observation.usage_details>input')} != '' "
        f"AND toUInt64OrZero({total}) != toUInt64OrZero({text}) + toUInt64OrZero({output})"
    )
    # The AI SDK before 6 passed on Anthropic's and Bedrock's input, which leaves the cache out.
    vercel = (
        f"{attribute('ai.operationId')} != '' "
        f"AND {attribute('ai.usage.inputTokenDetails.cacheReadTokens')} = '' "
        f"AND match({sources.value(_FIELD['Provider'].keys)}, '^(anthropic|amazon-bedrock|aws.bedrock)')"
    )
    return (
        f"if({text} != '' AND ({langfuse} OR {vercel}), "
        f"toString(toUInt64OrZero({text}) + toUInt64OrZero({read}) + toUInt64OrZero({write})), {text})"
    )


def _first_token(seconds: str, sources: Sources) -> str:
    milliseconds = sources.value(FIRST_TOKEN_MS)
    at = f"parseDateTime64BestEffortOrNull({sources.value(FIRST_TOKEN_AT)}, 9, 'UTC')"
    event = f"arrayFirst(e -> e.1 IN ({literals(FIRST_TOKEN_EVENTS)}), arrayZip(event_names, event_times)).2"
    since = [f"ifNull(toUnixTimestamp64Nano({at}), 0)", f"toInt64({event})"]
    # Times before the start are no times of a first token.
    later = f"arrayMap(n -> if(n < started, '', toString((n - started) / 1e9)), [{', '.join(since)}])"
    return (
        f"arrayFirst(c -> c != '', arrayConcat([{seconds}, if({milliseconds} = '', '', "
        f"toString(toFloat64OrZero({milliseconds}) / 1000))], {later}))"
    )


def _conversation(sources: Sources) -> tuple[str, dict[str, str]]:
    """An array of all messages in the convention's shape, and each text column over it, as `conversation`."""
    asked = first(
        (
            "flat[1]",
            sources.value(TEXT_COLUMNS["InputMessages"]),
            messages.of_events("InputMessages"),
        )
    )
    answers = first(
        (
            "flat[2]",
            messages.vercel_answer(sources),
            sources.value(TEXT_COLUMNS["OutputMessages"]),
            messages.of_events("OutputMessages"),
        )
    )
    # Instructions go through the same translator, as the content of one message.
    instructions = sources.value(TEXT_COLUMNS["SystemInstructions"])
    system = (
        f"if({instructions} = '', '', concat('{{\"role\":\"system\",\"content\":', "
        f"if(startsWith({instructions}, '[') AND isValidJSON({instructions}), {instructions}, "
        f"toJSONString({instructions})), '}}'))"
    )
    columns = {}
    for position, column in enumerate(("InputMessages", "OutputMessages"), 1):
        attribute_text = attribute(TEXT_COLUMNS[column][0])
        columns[column] = (
            f"if(scope_name NOT IN ({literals(FOREIGN_SCOPES)}) "
            f"AND position({attribute_text}, '\"parts\"') > 0, {attribute_text}, "
            f"conversation[{position}])"
        )
    columns["SystemInstructions"] = "JSONExtractRaw(conversation[3], 1, 'parts')"
    columns["ToolDefinitions"] = messages.tools(
        first(("flat[3]", sources.value(TEXT_COLUMNS["ToolDefinitions"])))
    )
    return messages.chats(f"[{asked}, {answers}, {system}]", "['user', 'assistant', 'system']"), columns
