"""One trace: its facts, the waterfall of all its spans, and everything that the chosen span carries."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from llmtrace.common.escaping import csv_cell
from llmtrace.semconv import PURPOSE_PRODUCT
from llmtrace_analysis.cost.stated_costs import stated_share
from llmtrace_analysis.queries import joined_spans, traces
from llmtrace_analysis.queries.scope import moment
from llmtrace_analysis.queries.traces import MAX_SPANS, SpanDetail, TraceSummary
from llmtrace_dashboard.ui import filters, formats, theme
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.components import choose_span, show
from llmtrace_dashboard.ui.current_settings import current_settings
from llmtrace_dashboard.ui.message_turns import turns
from llmtrace_dashboard.ui.page_links import page_url, trace_url
from llmtrace_dashboard.ui.span_tree import Node, arrange
from llmtrace_dashboard.ui.step_turns import step_turns
from llmtrace_dashboard.ui.tables import TRACE_STATUSES, badge, cell, column, row, table

from . import approvals, attachments, fine_tuning, trace_logs


def render(trace_id: str) -> None:
    """Draw the trace `trace_id`, or say that the store does not have it."""
    if st.button("All traces", icon=":material/arrow_back:", type="tertiary"):
        st.query_params.pop("trace", None)
        st.query_params.pop("span", None)
        st.rerun()
    summary = load(traces.summaries, [trace_id]).get(trace_id)
    if summary is None:
        _absent(trace_id)
        return
    spans = load(joined_spans.joined_spans, trace_id)
    nodes = arrange(spans)
    _header(summary)
    chosen = _waterfall(summary, nodes)
    trace_logs.render(summary, {node.span["span_id"]: node.span["name"] for node in nodes})
    places = {span["span_id"]: span for span in spans}
    for span in spans:
        # What was joined into a record can still be shown: its record links to it.
        places |= {other: {"trace_id": trace, "tellings": []} for trace, other in span["tellings"]}
    _span(places[chosen]["trace_id"], chosen, places[chosen]["tellings"])


def _absent(trace_id: str) -> None:
    with st.container(border=True):
        st.subheader("This trace is not in the store", anchor=False)
        st.text(
            "It may still be on its way (a few seconds), have been sent to another collector, or be older "
            "than the retention time."
        )
        st.code(trace_id[:128], language=None)
        st.button("Look again", icon=":material/refresh:")


def _header(trace: TraceSummary) -> None:
    started = moment(trace.start_ns / 1e6)
    badges = [
        badge(TRACE_STATUSES, trace.status),
    ]
    if trace.purpose != PURPOSE_PRODUCT:
        badges.append({"text": trace.purpose.capitalize(), "tone": "warn"})
    tokens = f"{formats.count(trace.input_tokens)} in, {formats.count(trace.output_tokens)} out"
    facts: list[dict[str, Any]] = [
        {"label": "Started", "text": formats.clock(started, filters.zone())},
        {"label": "Duration", "text": formats.seconds(trace.seconds)},
    ]
    if trace.calls:
        facts += [
            {"label": "First token", "text": formats.seconds(trace.ttft)},
            {
                "label": "Tokens",
                "text": "not reported"
                if trace.without_tokens == trace.calls
                else formats.about(tokens, trace.estimated),
                "title": f"{trace.cache_read_tokens:,} of the input cached, "
                f"{trace.reasoning_tokens:,} of the output reasoning" + _estimated_calls(trace),
            },
            _cost_fact(trace),
            {"label": "Model calls", "text": formats.count(trace.calls)},
        ]
    if trace.failed_steps:
        facts.append({"label": "Failed steps", "text": formats.count(trace.failed_steps), "tone": "bad"})
    if trace.retries:
        facts.append({"label": "Repeated attempts", "text": formats.count(trace.retries)})
    if trace.user:
        facts.append({"label": "User", "text": trace.user, "href": page_url("/traces", user=trace.user)})
    if trace.session:
        facts.append(
            {"label": "Session", "text": trace.session, "href": page_url("/traces", session=trace.session)}
        )
    if trace.experiment:
        run = f" / {trace.run}" if trace.run else ""
        facts.append(
            {
                "label": "Experiment",
                "text": trace.experiment + run,
                "href": page_url("/traces", experiment=trace.experiment),
            }
        )
    facts.append({"label": "Project", "text": trace.project})
    facts.append({"label": "Trace id", "text": trace.trace_id, "mono": True, "copy": trace.trace_id})
    show("facts", {"title": trace.name or "Unnamed trace", "badges": badges, "facts": facts}, "trace_facts")
    if trace.experiment and current_settings().mlflow_url:
        st.link_button(
            "Experiments in MLflow",
            current_settings().mlflow_url,
            icon=":material/open_in_new:",
            type="tertiary",
        )


def _estimated_calls(trace: TraceSummary) -> str:
    """A sentence of the calls that told no tokens; nothing where there is none."""
    if not trace.estimated:
        return ""
    requests = formats.plural(trace.estimated, "request")
    return f". Tokens of {requests} are estimated from text: nobody told them"


def _cost_fact(trace: TraceSummary) -> dict[str, Any]:
    if trace.unpriced and trace.unpriced >= trace.calls:
        return {"label": "Cost", "text": "unpriced", "tone": "warn", "href": page_url("/cost")}
    text = formats.about(formats.usd(trace.cost), trace.estimated)
    if trace.unpriced:
        text += f" + {formats.plural(trace.unpriced, 'unpriced call')}"
    fact = {"label": "Cost", "text": text}
    if share := stated_share(trace.stated, trace.cost or 0.0):
        fact["title"] = f"{share:.0%} of it is stated by answers, the rest computed"
    return fact


def _waterfall(trace: TraceSummary, nodes: list[Node]) -> str:
    """Draw the spans; the id of the span to show below: as the address says, else the first that failed,
    else the first call to a model, else the root."""
    services = list(dict.fromkeys(node.span["service"] for node in nodes))
    colors = theme.colors_of(services)
    ids = {node.span["span_id"] for node in nodes}
    chosen = st.query_params.get("span", "")
    tellings = [span for node in nodes for _, span in node.span["tellings"]]
    if chosen not in ids and chosen not in tellings:
        chosen = _first_of_interest(nodes)
    decided = approvals.Approvals.of(node.span for node in nodes)
    total = max(trace.end_ns - trace.start_ns, 1) / 1e6
    data = {
        "trace": trace.trace_id,
        "total": total,
        "selected": chosen,
        "services": [{"name": name or "unnamed service", "color": colors[name]} for name in services[:12]],
        "spans": [{**_bar(node, trace.start_ns, colors), **decided.label(node.span)} for node in nodes],
    }
    clicked = choose_span(data, key="waterfall")
    if clicked and clicked in ids and clicked != chosen:
        st.query_params["span"] = clicked
        chosen = clicked
    if tellings:
        st.caption(
            f"{formats.plural(len(tellings), 'span')} of other instrumentations tell of the same calls and "
            "are joined into them."
        )
    if trace.spans > MAX_SPANS:
        st.caption(
            f"The trace has {trace.spans:,} spans; the first {MAX_SPANS:,} by start time are shown. "
            "Durations and sums above are over all of them."
        )
    with st.expander("Spans as a table"):
        st.dataframe(
            _span_table(nodes, trace.start_ns), hide_index=True, height=320, alt="All spans of the trace"
        )
    return chosen


def _first_of_interest(nodes: list[Node]) -> str:
    failed = [node for node in nodes if node.span["status"] == "Error"]
    # The deepest failed span is where it began; those above it only pass it on.
    if failed:
        return str(max(failed, key=lambda node: node.depth).span["span_id"])
    model_calls = [node for node in nodes if node.span["is_llm"]]
    return str((model_calls or nodes)[0].span["span_id"])


def _bar(node: Node, origin: int, colors: dict[str, str]) -> dict[str, Any]:
    span = node.span
    return {
        "id": span["span_id"],
        "name": span["name"] or "unnamed",
        "service": span["service"],
        "color": colors[span["service"]],
        "depth": node.depth,
        "children": node.children,
        "at": round((span["start_ns"] - origin) / 1e6, 3),
        "ms": round(span["duration_ns"] / 1e6, 3),
        "error": span["status"] == "Error",
        "ttft": None if span["ttft"] is None else round(span["ttft"] * 1e3, 3),
    }


def _span_table(nodes: list[Node], origin: int) -> pd.DataFrame:
    """The browser makes CSV of it when asked: what stands in the cells is what a spreadsheet gets."""
    table = pd.DataFrame(
        {
            "Span": ["\u2003" * min(node.depth, 12) + node.span["name"] for node in nodes],
            "Service": [node.span["service"] for node in nodes],
            "Kind": [node.span["kind"] for node in nodes],
            "Status": [_status(node.span["status"]) for node in nodes],
            "Starts after": [formats.seconds((node.span["start_ns"] - origin) / 1e9) for node in nodes],
            "Duration": [formats.seconds(node.span["duration_ns"] / 1e9) for node in nodes],
            "First token": [formats.seconds(node.span["ttft"]) for node in nodes],
            "Model": [node.span["model"] for node in nodes],
            "Input tokens": [_counted(node.span, "input") for node in nodes],
            "Output tokens": [_counted(node.span, "output") for node in nodes],
        }
    )
    return table.map(csv_cell)


def _counted(span: dict[str, Any], kind: str) -> str:
    """A span's tokens of input or output, marked where they are estimated."""
    return formats.about(formats.count(span[f"{kind}_tokens"]), kind in span["estimated"])


def _status(code: str) -> str:
    return {"Error": "Failed", "Ok": "OK"}.get(code, "OK")


def _span(trace_id: str, span_id: str, tellings: list[tuple[str, str]]) -> None:
    detail = load(traces.span_detail, trace_id, span_id)
    if detail is None:
        st.text("This span is not in the store.")
        return
    values = detail.values
    failed = values["status"] == "Error"
    show(
        "facts",
        {
            "title": values["name"] or "Unnamed span",
            "small": True,
            "badges": [{"text": "Failed", "tone": "bad"} if failed else {"text": "OK", "tone": "good"}],
            "lead": _complaint(values) if failed else "",
            "facts": [*_span_facts(detail, trace_id, span_id), *_telling_facts(tellings)],
        },
        "span_facts",
    )
    steps = step_turns(values["attributes"])
    has_messages = values["is_llm"] or values["input_messages"] or values["output_messages"] or steps
    attributes_label = f"Attributes ({len(values['attributes']) + len(values['resource'])})"
    messages, attributes, events, scores, raw = st.tabs(
        [
            "Messages",
            attributes_label,
            f"Events ({len(values['event_names'])})",
            f"Scores ({len(detail.scores)})",
            "JSON",
        ],
        default=None if has_messages else attributes_label,
    )
    with messages:
        _messages(values, steps)
        attachments.render(trace_id, values["input_messages"], values["output_messages"])
    with attributes:
        _attributes(values)
    with events:
        _events(values)
    with scores:
        _scores(detail)
    with raw:
        st.code(json.dumps(_plain(values), indent=2, ensure_ascii=False), language="json", height=460)


#: What told the provider, where the emitter did not.
_PROVIDER_SOURCES = {
    "address": "by its address",
    "prefix": "inferred from the model's prefix",
    "list": "inferred from the model's name",
}


def _complaint(values: dict[str, Any]) -> str:
    return ": ".join(text for text in (values["error_type"], values["status_message"]) if text)


def _provider(values: dict[str, Any]) -> str:
    """The provider, what it was told by, and the emitter's own word where that is another."""
    provider, reported = values["provider"] or formats.NONE, values["reported_provider"]
    notes = [_PROVIDER_SOURCES[values["provider_source"]]] if values["provider_source"] else []
    notes += [f"reported as {reported}"] if reported and reported != provider else []
    return f"{provider} ({', '.join(notes)})" if notes else provider


def _span_facts(detail: SpanDetail, trace_id: str, span_id: str) -> list[dict[str, Any]]:
    values = detail.values
    facts: list[dict[str, Any]] = [
        {"label": "Service", "text": values["service"] or formats.NONE},
        {"label": "Duration", "text": formats.seconds(values["duration_ns"] / 1e9)},
    ]
    if values["is_llm"]:
        answered = values["response_model"]
        model = values["request_model"] or answered
        facts += [
            {"label": "Model", "text": model, "href": page_url("/traces", model=model) if model else ""},
            {"label": "Provider", "text": _provider(values)},
        ]
        if answered and answered != model:
            facts.append({"label": "Answered by", "text": answered})
        facts += _times(values)
        facts.append(_tokens_fact("input", values, values["cache_read_tokens"], "cached"))
        facts.append(_tokens_fact("output", values, values["reasoning_tokens"], "reasoning"))
        facts.append(_span_cost(detail))
        if values["finish_reasons"]:
            facts.append({"label": "Finished by", "text": ", ".join(values["finish_reasons"])})
    facts += approvals.facts(values)
    facts += fine_tuning.facts(values)
    if detail.attempt_of:
        facts.append(
            {
                "label": "Attempt of",
                "text": detail.attempt_of[1],
                "mono": True,
                "href": trace_url(*detail.attempt_of),
                "title": "It failed and was made again; the last attempt is the call",
            }
        )
    facts.append({"label": "Span id", "text": span_id, "mono": True, "copy": span_id})
    linked = [link for link in values["link_traces"] if link and link != trace_id]
    facts += [
        {"label": "Linked trace", "text": link, "mono": True, "href": trace_url(link)} for link in linked[:3]
    ]
    return facts


def _telling_facts(tellings: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Links to what tells of the same call."""
    return [
        {"label": "Also told by", "text": span, "mono": True, "href": trace_url(trace, span)}
        for trace, span in tellings[:5]
    ]


def _tokens_fact(kind: str, values: dict[str, Any], part: int, word: str) -> dict[str, Any]:
    """A span's tokens of input or output, with the part of them that is `word`."""
    number = values[f"{kind}_tokens"]
    if number is None:
        return {"label": kind.capitalize(), "text": "not reported"}
    text = f"{number:,}" + (f" ({part:,} {word})" if part else "")
    if kind not in values["estimated"]:
        return {"label": kind.capitalize(), "text": text}
    title = "Estimated from the text that went over the wire: the answer told no tokens."
    return {"label": kind.capitalize(), "text": formats.about(text, True), "title": title}


def _times(values: dict[str, Any]) -> list[dict[str, Any]]:
    """When parts of the answer came, as far as the span says."""
    times = (("First byte", "first_byte"), ("First token", "ttft"), ("Last token", "last_token"))
    facts: list[dict[str, Any]] = [
        {"label": label, "text": formats.seconds(values[name])}
        for label, name in times
        if values[name] is not None
    ]
    if values["tpot"] is not None:
        note = " (estimated)" if values["tpot_estimated"] else ""
        title = "From one output token to the next."
        if values["tpot_estimated"]:
            title += " The span does not say when the last token came; its end is taken for it."
        if values["reasoning_tokens"]:
            title += " Reasoning tokens count; where they were not streamed, it is really longer."
        facts += [
            {"label": "Per output token", "text": formats.seconds(values["tpot"]) + note, "title": title},
            {"label": "Speed", "text": f"{1 / values['tpot']:,.0f} tokens/s{note}", "title": title},
        ]
    return facts


def _span_cost(detail: SpanDetail) -> dict[str, Any]:
    if detail.attempt_of and not detail.cost:
        return {"label": "Cost", "text": "none", "title": "An attempt that was made again and billed nothing"}
    if detail.priced is None:
        return {
            "label": "Cost",
            "text": "counted by its caller",
            "title": "The span above has the same usage",
        }
    if not detail.priced:
        return {"label": "Cost", "text": "unpriced", "tone": "warn", "href": page_url("/cost")}
    if detail.stated_by:
        computed = formats.usd(detail.computed) if detail.computed is not None else "not known"
        return {
            "label": "Cost",
            "text": f"{formats.usd(detail.cost)} (stated)",
            "title": f"Stated by {detail.stated_by}; by the price book: {computed}",
        }
    return {
        "label": "Cost",
        "text": formats.about(formats.usd(detail.cost), detail.values["estimated"])
        if detail.cost is not None
        else "no token counts",
    }


def _messages(values: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    conversation = turns(
        values["system_instructions"],
        values["input_messages"],
        values["output_messages"],
        values["tool_definitions"],
    )
    if conversation or steps:
        show("messages", {"turns": [*conversation, *steps]}, "messages")
    elif values["is_llm"]:
        st.text(
            "This call carries no messages: its sender does not record content, the call failed before there "
            "was any, or it is of a kind that has none."
        )
    else:
        st.text("This span carries no messages, arguments or results. Attributes say what it did.")


def _attributes(values: dict[str, Any]) -> None:
    rows = [
        row([cell(name, mono=True), cell(value, title=value[:2000]), cell(source, tone="muted")])
        for source, attributes in (("span", values["attributes"]), ("resource", values["resource"]))
        for name, value in sorted(attributes.items())
    ]
    columns = [column("Attribute"), column("Value", fit="grow"), column("Of")]
    table("Attributes", columns, rows, "attributes", "This span has no attributes.")


def _events(values: dict[str, Any]) -> None:
    rows = [
        row(
            [
                cell("+" + formats.seconds((at - values["start_ns"]) / 1e9)),
                cell(name),
                cell(
                    ", ".join(f"{key} = {value}" for key, value in sorted(attributes.items()))[:4000],
                    title="\n".join(f"{key} = {value}" for key, value in sorted(attributes.items()))[:4000],
                ),
            ]
        )
        for at, name, attributes in zip(
            values["event_times"], values["event_names"], values["event_attributes"], strict=True
        )
    ]
    columns = [column("After", "right"), column("Event"), column("Attributes", fit="grow")]
    table("Events", columns, rows, "events", "This span has no events.")


def _scores(detail: SpanDetail) -> None:
    rows = [
        row(
            [
                cell(score["name"]),
                cell(formats.NONE if score["value"] is None else f"{score['value']:.4g}"),
                cell(score["label"] or formats.NONE),
                cell(score["explanation"], title=score["explanation"]),
                cell(score["service"], tone="muted"),
                cell(
                    formats.clock(moment(score["at"]), filters.zone()),
                    tone="muted",
                ),
            ]
        )
        for score in detail.scores
    ]
    columns = [
        column("Score"),
        column("Value", "right"),
        column("Label"),
        column("Explanation", fit="grow"),
        column("From"),
        column("At"),
    ]
    table("Scores", columns, rows, "scores", "Nobody scored this span yet: llmtrace.score(...) does.")


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The span's columns with the JSON texts in them as structures."""
    plain = dict(values)
    for name in ("system_instructions", "input_messages", "output_messages", "tool_definitions"):
        text = plain[name]
        if text:
            try:
                plain[name] = json.loads(text)
            except json.JSONDecodeError:
                plain[name] = text
    return plain
