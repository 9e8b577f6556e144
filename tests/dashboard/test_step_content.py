"""What steps were asked and gave, media in messages, and decisions, as the trace page words them."""

from __future__ import annotations

import json
from typing import Any

from llmtrace_dashboard.ui.message_turns import digests, turns
from llmtrace_dashboard.ui.step_turns import step_turns
from llmtrace_dashboard.views import approvals

DIGEST = "ab" * 32


def test_arguments_results_and_reasons_are_turns() -> None:
    listed = step_turns(
        {
            "gen_ai.tool.call.arguments": '{"city": "<b>Bonn</b>"}',
            "gen_ai.tool.call.result": '"7 degrees"',
            "llmtrace.function.arguments": "not json",
            "llmtrace.approval.reason": "because",
            "llmtrace.approval.arguments": "[1]",
            "other": "x",
        }
    )
    assert [(turn["role"], turn["parts"][0]["body"]) for turn in listed] == [
        ("Input", '{\n  "city": "<b>Bonn</b>"\n}'),
        ("Input", "not json"),
        ("Output", "7 degrees"),
        ("Changed to", "[\n  1\n]"),
        ("Reason", "because"),
    ]
    assert step_turns({"other": "x"}) == []


def test_documents_are_parts_of_one_turn() -> None:
    documents: list[Any] = [
        {"id": 1, "score": 0.5, "text": "first", "metadata": {"page": 3}},
        {"id": None},
        7,
    ]
    query, documents_turn = step_turns(
        {"gen_ai.retrieval.query.text": "why?", "gen_ai.retrieval.documents": json.dumps(documents)}
    )
    assert query["parts"][0]["body"] == "why?"
    assert documents_turn["note"] == "3 documents"
    assert [(part["title"], part["body"], part["note"]) for part in documents_turn["parts"]] == [
        ("1 · score 0.5", "first", '{"page": 3}'),
        ("without id", "", ""),
        ("", "7", ""),
    ]
    (many,) = step_turns({"gen_ai.retrieval.documents": json.dumps([{"id": n} for n in range(60)])})
    assert (len(many["parts"]), many["note"]) == (50, "60 documents, the first 50 of them shown")
    (odd,) = step_turns({"gen_ai.retrieval.documents": "no json"})
    assert odd["parts"][0]["body"] == "no json"


def test_media_tell_their_size_and_digest() -> None:
    part = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""}
    messages = json.dumps(
        [
            {
                "role": "user",
                "parts": [
                    {**part, "size": 48213, "sha256": DIGEST},
                    {**part, "content": "A" * 4000},
                    {
                        "type": "tool_call_response",
                        "response": f"[llmtrace left out image/png of 3 bytes, sha256 {'cd' * 32}]",
                    },
                ],
            }
        ]
    )
    (user,) = turns("", messages, "", "")
    notes = [part["note"] for part in user["parts"]]
    assert notes == [f"48,213 bytes, sha256 {DIGEST}", "3,000 bytes, not shown", ""]
    assert digests(messages, messages) == [DIGEST, "cd" * 32]
    assert digests("", '{"sha256":"short"}') == []


def test_decisions_in_words() -> None:
    def span(operation: str, **fields: str) -> dict[str, Any]:
        return {
            "operation": operation,
            "span_id": "a",
            "parent_id": "",
            "decision": "",
            "person": "",
            **fields,
        }

    asked = span("approval_request", span_id="b", parent_id="a")
    approved = span("approval", decision="approved", person="ann")
    trace = approvals.Approvals.of([approved, asked])
    assert trace.label(approved) == {"note": "approved by ann", "tone": "good"}
    assert trace.label(asked) == {}
    assert approvals.Approvals.of([asked]).label(asked) == {
        "note": "asked, no decision came",
        "tone": "warn",
    }
    assert trace.label(span("approval", decision="timeout"))["tone"] == "bad"
    assert trace.label(span("approval", decision="<odd>"))["note"] == "<odd>"
    assert trace.label(span("chat")) == {}
    pending, later = span("approval", decision="pending"), span("approval", span_id="c", parent_id="a")
    assert approvals.Approvals.of([pending]).label(pending)["note"] == "no decision yet"
    assert approvals.Approvals.of([pending, later]).label(pending)["note"] == "asked, decided later"
    facts = approvals.facts(
        {
            "attributes": {
                "llmtrace.approval.decision": "edited",
                "llmtrace.approval.person": "ann",
                "llmtrace.approval.wait": "90.5",
            }
        }
    )
    assert [(fact["label"], fact["text"]) for fact in facts] == [
        ("Decision", "approved with changes"),
        ("Decided by", "ann"),
        ("Waited", "1 min 30 s"),
    ]
    assert approvals.facts({"attributes": {}}) == []
