"""What must not leave: found, replaced, in linear time, and nothing else touched."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmtrace
from llmtrace.redaction.redactor import Redactor
from llmtrace.testing import Answer, ReplayServer, capture

from .chat import PLAIN, REQUEST

SECRETS = Redactor(secrets=True, pii=False)
PII = Redactor(secrets=False, pii=True)
ALL = Redactor(secrets=True, pii=True)
_BLOCK = "-----BEGIN {0}PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nabc=\n-----END {0}PRIVATE KEY-----"
_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"

SECRET_SAMPLES = [
    "sk-proj-abcDEF1234567890abcdefGHIJ",
    "sk-ant-api03-AbCdEf0123456789_-AbCdEf",
    "gsk_" + "aB3" * 16,
    "xai-" + "a1B2" * 12,
    "hf_" + "abcDEF123" * 4,
    "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "ya29.a0AfH6SMBxyz_1234567890abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a1B2c3" * 6,
    "github_pat_11ABCDEFG0123456789abcdef",
    "glpat-abcdEFGH1234ijklMNOP",
    "xoxb-123456789012-abcdefghijkl",
    "sk_live_abcdEFGH1234ijkl",
    _JWT,
    _BLOCK.format(""),
    _BLOCK.format("RSA "),
    _BLOCK.format("OPENSSH "),
]


@pytest.mark.parametrize("secret", SECRET_SAMPLES, ids=lambda secret: secret[:12].strip("-"))
def test_secrets_go(secret: str) -> None:
    for before, after in (("", ""), ("use ", " now"), ('{"key":"', '"}'), ("\n", "\n"), ("(", ").")):
        clean = SECRETS.text(before + secret + after)
        assert clean.startswith(before + "[redacted:")
        assert clean.endswith("]" + after)
        assert secret[8:] not in clean
        assert SECRETS.concerns(before + secret + after)
        assert SECRETS.text(clean) == clean


def test_within_escaped_text() -> None:
    """A tool's answer is often JSON inside a text: `\\n` is two characters there."""
    inner = json.dumps(
        {"log": f"key\n{SECRET_SAMPLES[0]}\tAKIAIOSFODNN7EXAMPLE\nann@b.io\n10.1.22.3\n4111111111111111"}
    )
    assert json.loads(ALL.text(inner)) == {
        "log": "key\n[redacted:key]\t[redacted:key]\n[redacted:email]\n[redacted:ip]\n[redacted:card]"
    }


def test_secrets_by_what_is_before_them() -> None:
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert key not in SECRETS.text(f'aws_secret_access_key = "{key}"')
    assert SECRETS.text("Authorization: Bearer abcdefghij.klmnopqrst-uvw") == (
        "Authorization: Bearer [redacted:token]"
    )
    assert SECRETS.text("postgres://bob:hunter2@db:5432/x") == "postgres://[redacted:password]@db:5432/x"
    torn = "before " + _BLOCK.format("EC ")[:60]
    assert SECRETS.text(torn) == "before [redacted:private-key]"


PERSONAL = {
    "email": ["ann.lee+x@mail.example.org", "a@b.io"],
    "card": ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NL91ABNA0417164300"],
    "ssn": ["123-45-6789"],
    "ip": ["192.168.10.254", "2001:db8::ff00:42:8329", "fe80::1ff:fe23:4567:890a"],
    "phone": ["+49 228 1234567", "+1 (555) 010-9999", "(030) 1234 5678", "555-010-9999", "0228/123456-78"],
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in PERSONAL.items() for text in texts]
)
def test_personal_data_goes(kind: str, text: str) -> None:
    for before, after in (("", ""), ("it is ", ", yes"), ("x ", " and 12 more"), ("\n", " OK")):
        assert PII.text(before + text + after) == f"{before}[redacted:{kind}]{after}"
    if kind in ("email", "card", "iban", "ip"):
        assert PII.text(f"{text}; {text}; {text}") == "; ".join([f"[redacted:{kind}]"] * 3)
    assert SECRETS.text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "the sk-circle-fade-in-animation class",
        "task-1234567890abcdefgh is done",
        "eyJust words. eyJ too.",
        "version 1.2.3, at 12:30:45 on 2026-11-20 09:45:28",
        "ids 1234567890123456 and 100 200 300 400, pi 3.14159265358979",
        "std::vector<int> a::b; ratio 3:4:5",
        "https://example.org/a:b@c 10-20-30",
        "4111 1111 1111 1112 has a wrong last digit",
        "bearer of bad news, basic knowledge",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_the_rest_stays(text: str) -> None:
    assert ALL.text(text) == text


ATTACKS = [
    "eyJ", "eyJaaaaaaaaaa.", "eyJaaaaaaaaaa.eyJaaaaaaaaaa.", "sk-", "sk-a", "-sk-a", "a@", "a.", "a@a.", "@a",
    "1 ", "1-", "1", "11 ", "DE89", "DE89 ", "A1 ", "+1", "+1 ", "(1", "1:", ":", "::a", "1.", "1.1.1.",
    "://a:", "://:", "a:b@", "secret", "secret_key: ", "bearer ", "bearer a", "-----BEGIN ", "AKIA", "xoxb-1",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN A PRIVATE KEY-----END ", "123-45-", "0 1", "sk_live_", "\\n",
]  # fmt: skip


def test_time_is_linear() -> None:
    """Each attack repeated to 200 kB takes at most a few times as long per byte as at 25 kB."""
    for attack in ATTACKS:
        seconds = []
        for size in (25_000, 200_000):
            text = (attack * (size // len(attack) + 1))[:size]
            best = min(_timed(text) for _ in range(2))
            seconds.append(best)
        assert seconds[1] < 2.0, attack
        assert seconds[1] < 8 * 3 * max(seconds[0], 0.002), (attack, seconds)


def _timed(text: str) -> float:
    began = time.thread_time()
    ALL.text(text)
    return time.thread_time() - began


@given(st.text(alphabet='sk-eyJ.aA1@:+ /()DE89\n\\"', max_size=60))
def test_any_text(text: str) -> None:
    clean = ALL.text(text)
    assert clean == text or "[redacted:" in clean
    if clean != text:
        assert ALL.concerns(text)


KEY = SECRET_SAMPLES[0]


def _say(text: str) -> dict[str, Any]:
    return {**REQUEST, "messages": [{"role": "user", "content": text}]}


def _answer(text: str) -> Answer:
    message = {"role": "assistant", "content": text}
    return Answer.json({"id": "r", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})


def test_content_is_clean_by_default() -> None:
    with ReplayServer(_answer(f"mail a@b.io, key\n{KEY}")) as server, capture() as traces:

        @llmtrace.observe(name="f", capture_args=True, capture_result=True)
        def function(text: str) -> str:
            raised = httpx.post(server.url + "/v1/chat/completions", json=_say(text)).text
            llmtrace.score("odd", explanation=text)
            return raised

        function(f"say\n{KEY} to a@b.io")
        with pytest.raises(ValueError):
            llmtrace.observe(int)(KEY)
        everything = str(traces.snapshot()) + str(traces.scores())
        chat = traces.snapshot()[0]["attributes"]
        assert KEY not in everything
        assert json.loads(chat["gen_ai.input.messages"])[0]["parts"][0]["content"] == (
            "say\n[redacted:key] to a@b.io"
        )
        assert json.loads(chat["gen_ai.output.messages"])[0]["parts"][0]["content"] == (
            "mail a@b.io, key\n[redacted:key]"
        )
        arguments = json.loads(traces.snapshot()[1]["attributes"]["llmtrace.function.arguments"])
        assert arguments == {"text": "say\n[redacted:key] to a@b.io"}


def test_redaction_by_choice() -> None:
    def shout(text: str) -> str:
        if "boom" in text:
            raise RuntimeError("no")
        return text.upper()

    with ReplayServer(_answer("boom"), PLAIN) as server:
        with capture(redact_pii=True, redact=shout) as traces:
            httpx.post(server.url + "/v1/chat/completions", json=_say("\nann@b.io hello"))
            attributes = traces.snapshot()[0]["attributes"]
        sent = json.loads(attributes["gen_ai.input.messages"])
        assert sent == [{"role": "user", "parts": [{"type": "text", "content": "\n[REDACTED:EMAIL] HELLO"}]}]
        assert "boom" not in attributes["gen_ai.output.messages"]
        assert "redact failed" in attributes["gen_ai.output.messages"]
        with capture(redact_secrets=False) as traces:
            httpx.post(server.url + "/v1/chat/completions", json=_say(KEY))
            assert KEY in traces.snapshot()[0]["attributes"]["gen_ai.input.messages"]


def test_content_of_one_call() -> None:
    @llmtrace.observe(name="f", capture_args=True)
    def function(text: str) -> None:
        httpx.post(server.url + "/v1/chat/completions", json=_say(text))

    with ReplayServer(PLAIN) as server:
        with capture() as traces:
            with llmtrace.context(capture_content=False, user_id="u"):
                function("hidden")
                with llmtrace.context(capture_content=True):
                    function("shown")
            function("after")
            text = str(traces.snapshot())
            assert "hidden" not in text
            assert text.count("shown") == text.count("after") == 2
            assert traces.snapshot()[0]["attributes"]["gen_ai.usage.input_tokens"] == 30
        with capture(capture_content=False) as traces:
            function("hidden")
            with llmtrace.context(capture_content=True):
                function("shown")
            assert "hidden" not in str(traces.snapshot())
            assert str(traces.snapshot()).count("shown") == 2
