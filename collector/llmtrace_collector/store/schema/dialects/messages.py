"""SQL that turns the dialects' chat messages into the convention's: `[{"role", "parts": [{"type", …}]}]`.

Messages come as JSON in some provider's shape, as flattened keys (`gen_ai.prompt.3.content`) or in span
events; the latter two are first written as such JSON, so that `chats` is the one translator. All of it takes
time and memory linear in the text: arrays are split into one group per message, and no lambda drags the
whole conversation along.
"""

from __future__ import annotations

from llmtrace_collector.sql_values import literal, literals

from .attribute_table import EVENT_CONTENT, EVENT_MESSAGES, INDEXED, MAX_INDEX
from .sqltext import Sources, attribute, first, let, renamed, unquoted


def chats(texts: str, roles: str) -> str:
    """An array of texts (JSON of messages, of one message or of its content, or bare text) as messages of the
    convention; `roles` are those of messages that name none.
    """
    items = f"arrayMap((m, r) -> {_message('m', 'r')}, i, arrayMap(m -> o, i))"
    joined = let("i", _items("t"), f"arrayStringConcat({items}, ',')")
    # One array of roles as long as the items: a lambda that captured the role would be copied with them.
    return f"arrayMap((t, o) -> if(t = '', '', concat('[', {joined}, ']')), {texts}, {roles})"


def tools(text: str) -> str:
    """Tool definitions, of which each may be JSON text again."""
    items = f"arrayMap(d -> {_tool(unquoted('d'))}, {_items('t')})"
    return let("t", text, f"if(t = '', '', concat('[', arrayStringConcat({items}, ','), ']'))")


def flattened() -> str:
    """JSON of what the flattened keys hold: input messages, output messages and tool definitions, each ''
    where there are none.
    """
    message = f"arrayMap(g -> {_flattened_message()}, {_groups('fs', 1)})"
    chosen = ", ".join(
        f"arrayFilter(e -> e.4 IN ({literals(prefixes)}), elements)" for prefixes in INDEXED.values()
    )
    return let(
        "elements",
        _elements(),
        f"arrayMap(fs -> if(empty(fs), '', concat('[', arrayStringConcat({message}, ','), ']')), [{chosen}])",
    )


def of_events(column: str) -> str:
    """JSON of the messages that stand in span events, '' where there are none."""
    events = EVENT_MESSAGES[column]
    keys = {name: key for name, (key, _) in events.items()}
    roles = {name: role for name, (_, role) in events.items()}
    text = first((f"e.2[{renamed('e.1', keys)}]", f"e.2[{literal(EVENT_CONTENT)}]"))
    items = (
        "arrayMap(x -> multiIf(startsWith(x.2, '['), JSONExtractArrayRaw(x.2), "
        "startsWith(x.2, '{') AND (JSONHas(x.2, 'role') OR JSONHas(x.2, 'message')), [x.2], "
        '[concat(\'{"role":"\', x.1, \'","content":\', '
        "if(startsWith(x.2, '{') AND isValidJSON(x.2), x.2, toJSONString(x.2)), '}')]), "
        f"arrayFilter(x -> x.2 != '', arrayMap(e -> ({renamed('e.1', roles)}, {text}), "
        f"arrayFilter(e -> e.1 IN ({literals(events)}), "
        "arrayZip(event_names, arraySlice(nested_maps, 1, length(event_names)))))))"
    )
    return let(
        "l",
        f"arrayFlatten({items})",
        "if(empty(l), '', concat('[', arrayStringConcat(l, ','), ']'))",
    )


def vercel_answer(sources: Sources) -> str:
    """The AI SDK's answer, spread over attributes, as JSON of one message; '' where there is none."""
    text = sources.value(("ai.response.text", "ai.result.text"))
    reasoning = attribute("ai.response.reasoning")
    calls = sources.value(("ai.response.toolCalls", "ai.result.toolCalls"))
    parts = (
        f"arrayFilter(c -> c != '', arrayConcat([if({reasoning} = '', '', "
        f'concat(\'{{"type":"reasoning","content":\', toJSONString({reasoning}), \'}}\')), '
        f"if({text} = '', '', toJSONString({text}))], JSONExtractArrayRaw({calls})))"
    )
    return let(
        "l",
        parts,
        "if(empty(l), '', "
        "concat('[{\"role\":\"assistant\",\"content\":[', arrayStringConcat(l, ','), ']}]'))",
    )


def _items(text: str) -> str:
    """Raw JSON of each element; text that is not JSON is one JSON string."""
    return (
        f"multiIf(startsWith({text}, '[') AND isValidJSON({text}), JSONExtractArrayRaw({text}), "
        f"startsWith({text}, '{{') AND isValidJSON({text}), [{text}], [toJSONString({text})])"
    )


def _object(kind: str, *members: tuple[str, str]) -> str:
    """A JSON object with a `type` and members whose values are SQL expressions of JSON text."""
    tail = "".join(f", ',\"{name}\":', {text}" for name, text in members)
    return f"concat('{{\"type\":\"{kind}\"'{tail}, '}}')"


def _raw(owner: str, *paths: str) -> str:
    """Raw JSON of the first path that is there."""
    return first(f"JSONExtractRaw({owner}, {literals(path.split('>'))})" for path in paths)


def _string(owner: str, *paths: str) -> str:
    return first(f"JSONExtractString({owner}, {literals(path.split('>'))})" for path in paths)


def _quoted(owner: str, *paths: str) -> str:
    """JSON of a string member, null when it is nowhere."""
    return let("z", _string(owner, *paths), "if(z = '', 'null', toJSONString(z))")


def _json(raw: str) -> str:
    """Raw JSON, a string that holds an object decoded; null for nothing."""
    decoded = "JSONExtractString(w)"
    return let(
        "w",
        raw,
        f"multiIf(w = '', 'null', startsWith(w, '\"') AND startsWith({decoded}, '{{') AND "
        f"isValidJSON({decoded}), {decoded}, w)",
    )


def _embedded(text: str) -> str:
    """Text as a JSON value: itself where it is an object or array, else a string."""
    return let(
        "w",
        text,
        "multiIf(w = '', 'null', (startsWith(w, '{') OR startsWith(w, '[')) AND isValidJSON(w), w, "
        "toJSONString(w))",
    )


def _part(part: str) -> str:
    """One part of any provider's content, or a bare string, as the convention's part."""
    kind = f"JSONExtractString({part}, 'type')"
    text = _object("text", ("content", _quoted(part, "text")))
    media = let(
        "url",
        _string(part, "image_url>url", "image_url", "url", "source>url"),
        "if(startsWith(url, 'data:'), "
        + _object(
            "blob",
            ("modality", "'\"image\"'"),
            ("mime_type", "toJSONString(extract(url, '^data:([^;,]*)'))"),
            ("content", "toJSONString(substring(url, position(url, ',') + 1))"),
        )
        + ", "
        + _object("uri", ("modality", "'\"image\"'"), ("uri", "toJSONString(url)"))
        + ")",
    )
    blob = _object(
        "blob",
        ("mime_type", _quoted(part, "media_type", "source>media_type")),
        ("content", _quoted(part, "content", "source>data", "data")),
    )
    call = _object(
        "tool_call",
        ("id", _quoted(part, "id", "toolCallId")),
        ("name", _quoted(part, "function>name", "name", "toolName")),
        ("arguments", _json(_raw(part, "function>arguments", "input", "args", "arguments"))),
    )
    response = _object(
        "tool_call_response",
        ("id", _quoted(part, "tool_use_id", "toolCallId", "id")),
        ("response", _json(_raw(part, "response", "content", "result", "output"))),
    )
    return (
        f"multiIf(JSONType({part}) = 'String', {_object('text', ('content', part))}, "
        f"{kind} IN ('', 'text', 'input_text', 'output_text') AND JSONHas({part}, 'text'), {text}, "
        f"{kind} IN ('thinking', 'reasoning'), "
        f"{_object('reasoning', ('content', _quoted(part, 'thinking', 'content', 'text')))}, "
        f"{kind} IN ('tool_result', 'tool-result') OR {kind} = 'tool_call_response' AND "
        f"JSONHas({part}, 'result'), {response}, "
        f"{kind} IN ('tool_use', 'tool-call', 'function') OR JSONHas({part}, 'function') OR "
        f"JSONHas({part}, 'toolCallId'), {call}, "
        f"{kind} IN ('image_url', 'image-url', 'input_image') OR JSONHas({part}, 'source', 'url'), {media}, "
        f"{kind} = 'binary' OR {kind} = 'image' AND JSONHas({part}, 'source'), {blob}, "
        f"{kind} = '', {_object('text', ('content', f'toJSONString({part})'))}, {part})"
    )


def _message(item: str, role: str) -> str:
    """One message, choice, part or string of any provider as the convention's message."""
    body = f"if(JSONHas({item}, 'message'), JSONExtractRaw({item}, 'message'), {item})"
    answer = (
        'concat(\'{"type":"tool_result","id":\', '
        + _quoted("b", "tool_call_id")
        + ", ',\"content\":', "
        + _raw("b", "content")
        + ", '}')"
    )
    content = (
        f"multiIf(JSONExtractString(b, 'role') = 'tool' AND JSONHas(b, 'tool_call_id'), [{answer}], "
        "JSONType(b, 'content') = 'Array', JSONExtractArrayRaw(b, 'content'), "
        "JSONHas(b, 'parts'), JSONExtractArrayRaw(b, 'parts'), "
        "JSONHas(b, 'role') OR JSONHas(b, 'tool_calls'), "
        "if(JSONType(b, 'content') IN ('Null', ''), emptyArrayString(), [JSONExtractRaw(b, 'content')]), "
        "[b])"
    )
    own_role = "JSONExtractString(b, 'role')"
    finish = f"JSONExtractString({item}, 'finish_reason')"
    # The role and the finish reason stand outside the lambda over parts.
    parts = (
        f"arrayMap(b -> concat('{{\"role\":', toJSONString({own_role}), ',\"parts\":[', arrayStringConcat("
        f"arrayMap(p -> {_part('p')}, "
        f"arrayConcat({content}, JSONExtractArrayRaw(b, 'tool_calls'))), ','), ']'), "
        f"[{body}])[1]"
    )
    return (
        f'concat(replaceOne({parts}, \'{{"role":""\', concat(\'{{"role":"\', {role}, \'"\')), '
        f"if({finish} = '', '', concat(',\"finish_reason\":', toJSONString({finish}))), '}}')"
    )


def _tool(text: str) -> str:
    """One tool definition, flat as the convention has it."""
    flat = let(
        "f",
        "if(JSONHas(q, 'function'), JSONExtractRaw(q, 'function'), q)",
        let(
            "s",
            _raw("f", "parameters", "input_schema", "inputSchema"),
            "if(JSONHas(f, 'name') AND s != '', "
            + _object(
                "function",
                ("name", "JSONExtractRaw(f, 'name')"),
                ("description", _quoted("f", "description")),
                ("parameters", "s"),
            )
            + ", q)",
        ),
    )
    return let("q", text, flat)


def _elements() -> str:
    """Flattened keys as (index, inner index, name without indices, prefix, value), sorted by the indices;
    hostile indices are left out.
    """
    choice = "|".join(prefix.replace(".", "\\.") for names in INDEXED.values() for prefix in names)
    pattern = literal(f"^({choice})\\.(\\d{{1,9}})\\.(.+)$")
    noise = literal("(message|message_content|tool_call|function|tool)\\.")
    split = (
        f"arrayMap((n, v) -> (toUInt32OrZero(n[2]), replaceRegexpAll(n[3], {noise}, ''), n[1], v), "
        f"arrayMap(k -> extractGroups(k, {pattern}), keys), vals)"
    )
    inner = literal("\\.(\\d{1,9})\\.")
    return (
        f"arraySort(x -> (x.1, x.2), arrayFilter(x -> x.2 <= {MAX_INDEX}, "
        f"arrayMap(x -> (x.1, toUInt32OrZero(extract(x.2, {inner})), "
        f"replaceRegexpOne(x.2, {inner}, '.'), x.3, x.4), "
        f"arrayFilter(x -> x.2 != '' AND x.1 <= {MAX_INDEX}, {split}))))"
    )


def _groups(elements: str, member: int) -> str:
    """Sorted elements split where member number `member` changes."""
    changes = f"arrayDifference(arrayMap(x -> toInt64(x.{member}), {elements}))"
    return f"arraySplit((x, d) -> d != 0, {elements}, {changes})"


def _field(name: str, owner: str = "g") -> str:
    """The value of one flattened name within a group of elements."""
    return f"arrayFirst(y -> y.3 = {literal(name)}, {owner}).5"


def _flattened_message() -> str:
    """One group of flattened keys as JSON of a chat message or a tool definition."""

    def nested(prefix: str, item: str) -> str:
        return let(
            "s",
            f"arrayFilter(y -> startsWith(y.3, {literal(prefix)}), g)",
            f"if(empty(s), emptyArrayString(), arrayMap(h -> {item}, {_groups('s', 2)}))",
        )

    image = first((_field("contents.image.image.url", "h"), _field("contents.image.url", "h")))
    part = let(
        "url",
        image,
        "if(url != '', concat('{\"type\":\"image_url\",\"url\":', toJSONString(url), '}'), "
        f"toJSONString({_field('contents.text', 'h')}))",
    )
    call = _object(
        "function",
        ("id", f"toJSONString({_field('tool_calls.id', 'h')})"),
        ("name", f"toJSONString({_field('tool_calls.name', 'h')})"),
        ("arguments", f"toJSONString({_field('tool_calls.arguments', 'h')})"),
    )
    listed_content = let(
        "w",
        _field("content"),
        "if(startsWith(w, '[{') AND isValidJSON(w), JSONExtractArrayRaw(w), "
        "if(w = '', emptyArrayString(), [toJSONString(w)]))",
    )
    parts = f"arrayConcat({listed_content}, {nested('contents.', part)})"
    content = f"concat('[', arrayStringConcat({parts}, ','), ']')"
    identity = _field("tool_call_id")
    plain = f"if({identity} != '' AND {_field('role')} = 'tool', {_embedded(_field('content'))}, {content})"
    finish = _field("finish_reason")
    schema = _field("json_schema")
    tool = (
        f"concat('{{\"name\":', toJSONString({_field('name')}), ',\"description\":', "
        f"toJSONString({_field('description')}), ',\"parameters\":', {_embedded(_field('parameters'))}, '}}')"
    )
    return (
        f"multiIf({schema} != '', {schema}, g[1].4 IN ({literals(INDEXED['ToolDefinitions'])}), {tool}, "
        f"concat('{{\"role\":', toJSONString({_field('role')}), ',\"content\":', {plain}, "
        f"if({identity} = '', '', concat(',\"tool_call_id\":', toJSONString({identity}))), "
        f"if({finish} = '', '', concat(',\"finish_reason\":', toJSONString({finish}))), "
        f"',\"tool_calls\":[', arrayStringConcat({nested('tool_calls.', call)}, ','), ']}}'))"
    )
