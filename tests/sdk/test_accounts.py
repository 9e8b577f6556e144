"""Whose call it was, and whether a cache answered: read from headers, never with the key itself."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import time
from typing import Any

import httpx
import openai
import pytest

from llmtrace.testing import Answer, Captured, ReplayServer
from llmtrace.wire.accounts import account

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {"id": "c-1", "object": "chat.completion", "model": "gpt-4o", "choices": []}


def test_a_key_leaves_a_mark_and_nothing_else(traces: Captured) -> None:
    key = "sk-proj-0123456789abcdefghij"
    with ReplayServer(Answer.json(ANSWER)) as server:
        for _ in range(2):
            httpx.post(
                f"{server.url}/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {key}"}
            )
    first, second = traces.snapshot()
    mark = first["attributes"]["llmtrace.account"]
    assert mark == second["attributes"]["llmtrace.account"]
    assert mark == f"key-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    assert key not in str(first)


@pytest.mark.parametrize(
    ("sent", "received", "kind"),
    [
        ({"x-api-key": "sk-ant-1"}, {}, "key-"),
        (
            {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA1/20261120/us-east-1/x, Signature=1"},
            {},
            "key-",
        ),
        ({"authorization": "Bearer ya29.token"}, {"openai-organization": "org"}, "org-"),
        ({"authorization": "Bearer ya29.token"}, {}, None),
        ({}, {}, None),
    ],
)
def test_tokens_of_an_hour_are_no_account(
    sent: dict[str, str], received: dict[str, str], kind: str | None
) -> None:
    mark = account(sent, received)
    assert mark is None if kind is None else mark is not None and mark.startswith(kind)


def test_requests_that_are_signed_anew_are_of_one_account() -> None:
    form = "AWS4-HMAC-SHA256 Credential=AKIA1/2026112{day}/us-east-1/bedrock/aws4_request, Signature={day}"
    marks = {account({"authorization": form.format(day=day)}, {}) for day in (0, 1)}
    assert len(marks) == 1


TENANT, APP, OBJECT = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "123")
_serial = itertools.count(int(time.time()))


def token(**claims: Any) -> str:
    """A JSON web token, another each time: it ends later, and its signature is another's."""
    now = next(_serial)
    parts = ({"alg": "RS256", "kid": f"k{now}"}, {"iat": now, "exp": now + 3600, "uti": str(now), **claims})
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, base64.urlsafe_b64encode(f"signed {now}".encode()).rstrip(b"=").decode()])


def marks(claims: dict[str, Any]) -> set[str | None]:
    """The marks of three renewals of a token."""
    return {account({"authorization": f"Bearer {token(**claims)}"}, {}) for _ in range(3)}


IDENTITIES: dict[str, dict[str, Any]] = {
    "Entra, first version": {"tid": TENANT, "appid": APP, "oid": OBJECT, "iss": "https://sts.windows.net/t/"},
    "Entra, second version": {"tid": TENANT, "azp": APP, "oid": OBJECT, "ver": "2.0"},
    "Entra without an object": {"tid": TENANT, "appid": APP},
    "Entra, a person through an application": {"tid": TENANT, "appid": APP, "oid": TENANT},
    "Google": {"iss": "https://accounts.google.com", "azp": "1", "sub": "2", "email": "a@b.example"},
    "Databricks": {"iss": "https://dbc.cloud.databricks.com/oidc", "client_id": "c", "sub": "c"},
    "IBM Cloud": {"iss": "https://iam.cloud.ibm.com/identity", "iam_id": "iam-ServiceId-1", "sub": "s"},
    "Kubernetes": {"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:app"},
    "signed with a key of one's own": {"api_key": "k1", "timestamp": 1},
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_renewed_tokens_are_of_one_account(name: str) -> None:
    (mark,) = marks(IDENTITIES[name])
    assert mark is not None
    assert mark.startswith("app-")
    others = [marks(claims) for other, claims in IDENTITIES.items() if other != name]
    assert {mark} not in others or name in ("Entra, first version", "Entra, second version")


def test_another_tenant_or_application_is_another_account() -> None:
    ours = {"tid": TENANT, "appid": APP, "oid": OBJECT}
    accounts = [marks(ours), *(marks({**ours, claim: "other"}) for claim in ours)]
    assert len(set(map(frozenset, accounts))) == 4


@pytest.mark.parametrize(
    "value",
    [
        token(),
        token(tid=TENANT),
        token(tid=7, appid=["x"], oid={}),
        "eyJ." + "!" * 40 + ".sig",
        token(text="x" * 40_000, sub="s", iss="i"),
        "eyJ" + base64.urlsafe_b64encode(b"[" * 9000).decode() + ".x.y",
        "eyJhbGciOiJSU0EtT0FFUCJ9.key.iv.encrypted.tag",
        "eyJhbGciOiJub25lIn0",
        "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
        "ek_68af296e8e408191a1120ab6383263c2",
    ],
)
def test_tokens_that_say_nothing_are_no_account_and_no_failure(value: str) -> None:
    assert account({"authorization": f"Bearer {value}"}, {}) is None


def test_a_key_in_the_form_of_a_token_is_a_key() -> None:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in ({"alg": "x"}, {"G": 1})
    ]
    key = ".".join([*parts, "signature"])
    assert (
        account({"authorization": f"bearer  {key}"}, {})
        == f"key-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    )


def test_a_prefix_before_a_token_is_no_part_of_it() -> None:
    claims = {"iss": "https://huggingface.co", "sub": "u1"}
    marks_of_both = {account({"authorization": f"Bearer hf_oauth_{token(**claims)}"}, {}) for _ in range(2)}
    assert marks_of_both == marks(claims)


def test_passing_credentials_of_aws_are_of_their_account() -> None:
    form = "AWS4-HMAC-SHA256 Credential={key}/20261120/us-east-1/bedrock/aws4_request, Signature=1"
    of_account = f"aws-{hashlib.sha256(b'029608264753').hexdigest()[:12]}"
    passing = "ASIAQNZGKIQY56JQ7WML"
    assert account({"authorization": form.format(key=passing)}, {}) == of_account
    signed = (
        f"bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Credential={passing}%2F2026&X-Amz-Expires=9"
    )
    for renewal in (signed, signed + "&Version=1"):
        bearer = "bedrock-api-key-" + base64.b64encode(renewal.encode()).decode()
        assert account({"authorization": f"Bearer {bearer}"}, {}) == of_account
    assert account({"authorization": form.format(key="ASIA1")}, {}) == account(
        {"authorization": form.format(key="ASIA1")}, {}
    )
    assert account({"authorization": "Bearer bedrock-api-key-%%%"}, {}) is None


def test_opaque_tokens_of_google_are_of_the_project() -> None:
    sent = {"authorization": "Bearer ya29.token"}
    path = "/v1/projects/acme/locations/eu/publishers/google/models/m:generateContent"
    assert account(sent, {}, path) == account({**sent, "x-goog-user-project": "acme"}, {}, "/v1beta/models/m")
    assert account(sent, {}, path) != account(sent, {}, path.replace("acme", "other"))


def test_a_managed_identity_of_azure_has_one_account_over_renewals(traces: Captured) -> None:
    """AzureOpenAI with a token provider, as the identity libraries give one: each call has another token."""
    tokens: list[str] = []

    def provide() -> str:
        tokens.append(token(tid=TENANT, appid=APP, oid=OBJECT))
        return tokens[-1]

    answer = {**ANSWER, "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}
    refused = {"error": {"code": "401", "message": "the token {} is not valid"}}
    with ReplayServer(Answer.json(answer)) as server:
        client = openai.AzureOpenAI(
            azure_endpoint=server.url,
            api_version="2024-10-21",
            azure_ad_token_provider=provide,
            max_retries=0,
        )
        for _ in range(2):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
        refused["error"]["message"] = f"the token {tokens[-1]} is not valid"
        server.answer_with(Answer.json(refused, 401))
        with pytest.raises(openai.AuthenticationError):
            client.with_options(azure_ad_token=tokens[-1]).chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "hi"}]
            )
        sent = {request.headers["authorization"] for request in server.requests[:2]}
    spans = traces.snapshot()
    assert len(sent) == 2
    assert len(spans) == 3
    (mark,) = {span["attributes"]["llmtrace.account"] for span in spans}
    assert mark.startswith("app-")
    assert {span["attributes"]["gen_ai.provider.name"] for span in spans} == {"azure.ai.openai"}
    assert not any(secret in str(spans) for secret in (*tokens, TENANT, APP, OBJECT))


def test_an_answer_out_of_a_gateways_cache_is_marked(traces: Captured) -> None:
    answers = [Answer.json(ANSWER, 200, **{"cf-aig-cache-status": status}) for status in ("HIT", "MISS")]
    with ReplayServer(*answers) as server:
        for _ in answers:
            httpx.post(f"{server.url}/v1/chat/completions", json=CHAT)
    hit, miss = traces.snapshot()
    assert hit["attributes"]["llmtrace.response.cache_hit"] is True
    assert "llmtrace.response.cache_hit" not in miss["attributes"]
