"""Tokens of workload identity as keys, over HTTP and gRPC, against providers in processes of their own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from pydantic import ValidationError

from llmtrace.delivery.exporter import ExportResult
from llmtrace.delivery.http_post import HttpPoster
from llmtrace.delivery.key_file import KeyFile
from llmtrace.delivery.settings import DeliverySettings
from llmtrace_collector.access import signing_keys
from llmtrace_collector.access.auth import UnsafeBind, load_keys
from llmtrace_collector.access.signing_keys import KeysUnavailable, SigningKeys
from llmtrace_collector.access.tokens import Tokens
from llmtrace_collector.issuer_settings import TokenIssuer
from llmtrace_collector.settings import CollectorSettings

from .otlp import span, traces
from .running import CLIENT, Served, free_port, settings, until
from .token_provider import SigningKey, TokenProvider, encoded, sealed

_AGAIN = 0.3


@pytest.fixture(scope="module", autouse=True)
def _soon() -> Iterator[None]:
    """Providers are asked again after a moment, and not after ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing_keys, "_AGAIN_SECONDS", _AGAIN)
        yield


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenProvider]:
    started = TokenProvider(tmp_path_factory.mktemp("provider"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def absent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenProvider]:
    """A provider that is not there when the collector starts."""
    not_started = TokenProvider(tmp_path_factory.mktemp("absent"))
    yield not_started
    not_started.stop()


@pytest.fixture(scope="module")
def oidc() -> Iterator[str]:
    """An OpenID provider of others' making; its address."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--user-claims", json.dumps({"sub": "ada", "groups": ["everyone", "watchers"]})],
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    until(lambda: _answers(f"{url}/.well-known/openid-configuration"), 30, "the provider's start")
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, provider: TokenProvider, absent: TokenProvider, oidc: str
) -> Iterator[Served]:
    """A collector that takes tokens of three providers, and asks for a key where it takes one."""
    issuers = [
        {
            "name": "own",
            "issuer": provider.url,
            "audience": "llmtrace",
            "algorithms": ["RS256", "PS256", "ES256", "EdDSA"],
            "leeway_seconds": 30,
            "max_lifetime_seconds": 3600,
            "project_claim": "project",
            "role_claim": "roles",
            "roles": {"senders": "ingest", "readers": "read", "admins": "admin"},
        },
        {
            "name": "ci",
            "issuer": provider.url,
            "audience": ["llmtrace-ci", "other"],
            "required": {"sub": "repo:acme/*", "ref": ["refs/heads/main", "refs/heads/next"]},
            "project_claim": ["kubernetes.io", "namespace"],
            "project": "ci",
            "role": "ingest",
            "role_claim": "scope",
            "roles": {"llmtrace:read": "read"},
            "requests_per_minute": 3,
        },
        {"name": "absent", "issuer": absent.url, "audience": "llmtrace", "project": "*", "role": "ingest"},
        {
            "name": "people",
            "issuer": oidc,
            "audience": "llmtrace",
            "project": "*",
            "role_claim": "groups",
            "roles": {"watchers": "read"},
        },
    ]
    fields = {"grpc_port": free_port(), "issuers": issuers, "require_keys": False}
    collector = Served(settings(tmp_path_factory.mktemp("tokens"), **fields))
    yield collector
    collector.close()


def _answers(url: str) -> bool:
    try:
        return CLIENT.get(url).status_code == 200
    except httpx.TransportError:
        return False


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def send(served: Served, token: str) -> int:
    """The status of a span sent over HTTP."""
    return served.post(traces([span()]), headers=bearer(token)).status_code


def send_by_grpc(served: Served, token: str) -> grpc.StatusCode:
    """The status of a span sent over gRPC."""
    stub: Any = trace_service_pb2_grpc.TraceServiceStub
    with grpc.insecure_channel(f"127.0.0.1:{served.collector.settings.grpc_port}") as channel:
        try:
            stub(channel).Export(traces([span()]), metadata=(("authorization", f"Bearer {token}"),))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def ask(served: Served, token: str, sql: str = "SELECT 1") -> httpx.Response:
    return CLIENT.post(f"{served.url}/clickhouse/", content=sql.encode(), headers=bearer(token))


def test_a_token_sends_into_its_project_and_may_nothing_else(served: Served, provider: TokenProvider) -> None:
    token = provider.token({"project": "of-the-token"})
    marked = span({"llmtrace.project": "another", "project.name": "another"})
    assert served.post(traces([marked]), headers=bearer(token)).status_code == 200
    assert send_by_grpc(served, token) == grpc.StatusCode.OK
    served.stored()
    reader = provider.token({"project": "of-the-token", "roles": ["readers"], "sub": "reader"})
    answer = ask(
        served, served.admin_key, "SELECT DISTINCT Project FROM otel_traces WHERE Project LIKE '%the-t%'"
    )
    assert answer.text == "of-the-token\n"
    assert ask(served, token).status_code == 401
    assert served.post(traces([span()]), headers=bearer(reader)).status_code == 401
    assert CLIENT.get(f"{served.url}/v1/keys", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "EdDSA"])
def test_each_kind_of_key_signs(served: Served, provider: TokenProvider, algorithm: str) -> None:
    key = SigningKey(f"of-{algorithm}", algorithm)
    provider.publish(provider.key, key)
    time.sleep(_AGAIN)
    assert send(served, provider.token(key=key)) == 200
    assert send(served, provider.token(key=key, header={"alg": "RS256"})) == 401


def test_wherever_keys_are_given_tokens_are(served: Served, provider: TokenProvider) -> None:
    token = provider.token({"roles": ["readers"]})
    basic = base64.b64encode(f"anyone:{token}".encode()).decode()
    for headers in ({"x-api-key": token}, {"x-clickhouse-key": token}, {"authorization": f"Basic {basic}"}):
        answer = CLIENT.post(f"{served.url}/clickhouse/", content=b"SELECT 1", headers=headers)
        assert answer.status_code in (200, 400), answer.text  # let in; what a project may ask is the guard's
    assert CLIENT.get(f"{served.url}/v1/budget", headers=bearer(token)).status_code in (200, 503)


def test_roles_with_a_provider_are_open_no_more(served: Served) -> None:
    """The collector has neither an ingest nor a read key."""
    assert served.post(traces([span()])).status_code == 401
    assert served.sql("SELECT 1").status_code == 401


def _now(seconds: float) -> int:
    return int(time.time() + seconds)


BAD_CLAIMS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "expired": lambda: {"iat": _now(-400), "exp": _now(-40)},
    "not yet": lambda: {"nbf": _now(60)},
    "made in the future": lambda: {"iat": _now(60), "exp": _now(300)},
    "too long": lambda: {"exp": _now(3700)},
    "another audience": lambda: {"aud": "mlflow"},
    "another audience of many": lambda: {"aud": ["mlflow", "llmtrace2"]},
    "no text as audience": lambda: {"aud": {"llmtrace": 1}},
    "another issuer": lambda: {"iss": "http://127.0.0.1:1"},
    "its issuer with a slash": lambda: {"iss": "/"},
    "a list of issuers": lambda: {"iss": ["x"]},
    "an end that is text": lambda: {"exp": str(_now(300))},
    "an end that is true": lambda: {"exp": True},
    "an endless end": lambda: {"exp": 1e300},
    "no role": lambda: {"roles": []},
    "a role that nobody mapped": lambda: {"roles": ["SENDERS", "ingest"]},
    "roles within roles": lambda: {"roles": [["senders"]]},
    "a role as an object": lambda: {"roles": {"senders": True}},
    "an empty project": lambda: {"project": ""},
    "every project": lambda: {"project": "*"},
    "a project that is no text": lambda: {"project": ["shop"]},
    "a null project": lambda: {"project": None},
    "a project with a line": lambda: {"project": "shop\n"},
    "a project with a quote": lambda: {"project": "a' OR 1"},
    "an empty subject": lambda: {"sub": ""},
    "a long subject": lambda: {"sub": "x" * 201},
    "a subject with a line": lambda: {"sub": "a\nb"},
    "a subject that is a number": lambda: {"sub": 7},
}


@pytest.mark.parametrize("what", BAD_CLAIMS)
def test_tokens_that_say_too_little_or_too_much_are_refused(
    served: Served, provider: TokenProvider, what: str
) -> None:
    claims = BAD_CLAIMS[what]()
    if claims.get("iss") == "/":
        claims["iss"] = f"{provider.url}/"
    answer = served.post(traces([span()]), headers=bearer(provider.token(claims)))
    assert answer.status_code == 401
    assert send(served, provider.token()) == 200


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "iat", "exp", "project", "roles"])
def test_what_a_token_must_say(served: Served, provider: TokenProvider, claim: str) -> None:
    assert send(served, provider.token(without=claim)) == 401


def test_clocks_may_differ_a_little(served: Served, provider: TokenProvider) -> None:
    assert send(served, provider.token({"iat": _now(-400), "exp": _now(-20)})) == 200
    assert send(served, provider.token({"nbf": _now(20), "iat": _now(20)})) == 200


def test_a_token_that_was_good_ends_at_its_end(served: Served, provider: TokenProvider) -> None:
    token = provider.token({"iat": _now(-400), "exp": int(time.time()) - 26})
    assert send(served, token) == 200
    until(lambda: send(served, token) == 401, 10, "the end")


def _forged(provider: TokenProvider) -> dict[str, str]:
    """Tokens that nobody with the provider's key made."""
    claims = json.dumps(
        {"iss": provider.url, "aud": "llmtrace", "sub": "x", "iat": _now(0), "exp": _now(300), "project": "p",
         "roles": ["senders"]}
    )  # fmt: skip
    public = provider.key.private.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    own = SigningKey("own")

    def with_secret(secret: bytes) -> Callable[[bytes], bytes]:
        return lambda body: hmac.digest(secret, body, "sha256")

    def nothing(_: bytes) -> bytes:
        return b""

    def headed(**more: Any) -> str:
        return json.dumps({"alg": "RS256", "kid": "first", **more})

    good = provider.token()
    head, body, signature = good.split(".")
    twice = claims.replace('"roles": ["senders"]', '"roles": ["nobody"], "r\\u006fles": ["senders"]')
    return {
        "none": sealed(headed(alg="none"), claims, nothing),
        "None": sealed(headed(alg="nOnE"), claims, nothing),
        "no algorithm": sealed('{"kid":"first"}', claims, provider.key.sign),
        "an algorithm that is no text": sealed(headed(alg=["RS256"]), claims, provider.key.sign),
        "the public key as secret": sealed(headed(alg="HS256"), claims, with_secret(pem)),
        "the modulus as secret": sealed(
            headed(alg="HS256"), claims, with_secret(provider.key.jwk()["n"].encode())
        ),
        "no secret": sealed(headed(alg="HS256"), claims, with_secret(b"")),
        "another key under its id": sealed(headed(), claims, own.sign),
        "another key by jku": sealed(headed(kid="own", jku="http://127.0.0.1:1/jwks"), claims, own.sign),
        "another key by x5u": sealed(headed(x5u="http://127.0.0.1:1/cert"), claims, own.sign),
        "another key inside": sealed(headed(jwk=own.jwk()), claims, own.sign),
        "a file as id": sealed(headed(kid="../../../../dev/null"), claims, with_secret(b"")),
        "a statement as id": sealed(headed(kid="x' UNION SELECT 'k"), claims, own.sign),
        "an object as id": sealed(headed(kid={"first": 1}), claims, provider.key.sign),
        "no id and another key": sealed('{"alg":"RS256"}', claims, own.sign),
        "what must be understood": sealed(headed(crit=["exp"]), claims, provider.key.sign),
        "detached": sealed(headed(b64=False, crit=["b64"]), "", provider.key.sign),
        "a claim twice": sealed(headed(), twice, provider.key.sign),
        "a heading twice": sealed('{"alg":"none","alg":"RS256","kid":"first"}', claims, provider.key.sign),
        "not a number": sealed(headed(), claims.replace('"sub"', '"x": NaN, "sub"'), provider.key.sign),
        "beyond numbers": sealed(headed(), claims[:-1] + ', "exp": 1e999}', provider.key.sign),
        "deep": sealed(headed(), claims[:-1] + f', "x": {"[" * 2000}{"]" * 2000}}}', provider.key.sign),
        "a list": sealed(headed(), f"[{claims}]", provider.key.sign),
        "huge": provider.token({"pad": "x" * 9000}),
        "changed": f"{head}.{body[:-6]}{body[-5:]}x.{signature}",
        "unsigned": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "padded": f"{head}=.{body}.{signature}",
        "a blank": f"{head}. {body}.{signature}",
    }


def test_forgeries_are_refused(served: Served, provider: TokenProvider) -> None:
    forged = _forged(provider)
    assert {what: send(served, token) for what, token in forged.items()} == dict.fromkeys(forged, 401)
    for what in ("none", "the public key as secret", "another key under its id", "a claim twice"):
        assert send_by_grpc(served, forged[what]) == grpc.StatusCode.UNAUTHENTICATED
    assert send(served, provider.token()) == 200


def test_no_answer_and_no_event_quotes_a_token(served: Served, provider: TokenProvider) -> None:
    secret = "sprechen"
    served.collector.security_events.flush()
    token = provider.token({"aud": secret, "sub": secret})
    answer = served.post(traces([span()]), headers=bearer(token))
    assert answer.status_code == 401
    assert b"another audience" in answer.content
    assert secret.encode() not in answer.content
    served.collector.security_events.flush()
    events = json.dumps(served.collector.store.rows("SELECT * FROM security_events"))
    assert "another audience" in events
    assert secret not in events
    assert token[:40] not in events


def test_a_table_has_its_own_audience_claims_and_limit(served: Served, provider: TokenProvider) -> None:
    good = {"aud": "llmtrace-ci", "sub": "repo:acme/shop:ref", "ref": "refs/heads/main"}
    bad: tuple[dict[str, Any], ...] = (
        {"sub": "repo:acme2/shop"},
        {"ref": "refs/heads/mine"},
        {"ref": None},
        {"scope": "openid llmtrace:write"},
        {"kubernetes.io": {"namespace": ""}},
        {"kubernetes.io": {"namespace": {}}},
    )
    for claims in bad:
        assert send(served, provider.token({**good, **claims})) == 401
    within = {**good, "sub": "repo:acme/nested", "kubernetes.io": {"namespace": "team-a"}}
    tokens = served.collector.tokens
    assert tokens is not None
    grant = tokens.find(provider.token(within))
    assert grant is not None
    assert (grant.key_id, grant.project) == ("jwt:ci:repo:acme/nested", "team-a")
    scoped = tokens.find(provider.token({**good, "sub": "repo:acme/s", "scope": "openid llmtrace:read"}))
    assert scoped is not None
    assert scoped.project == "ci"
    assert scoped.roles == {"read"}
    answers = [send(served, provider.token({**good, "n": number})) for number in range(5)]
    assert answers == [200, 200, 200, 503, 503]  # by subject, not by token


def test_the_provider_may_change_its_keys(served: Served, provider: TokenProvider) -> None:
    before = provider.token()
    assert send(served, before) == 200
    changed = SigningKey("second")
    provider.publish(provider.key, changed)
    time.sleep(_AGAIN)
    assert send(served, provider.token(key=changed)) == 200
    assert send(served, before) == 200
    provider.publish(changed)
    time.sleep(_AGAIN)
    assert send(served, provider.token(key=SigningKey("unknown"))) == 401  # and asked anew
    assert send(served, before) == 401, "its key is the provider's no longer"
    old, provider.key = provider.key, changed
    same_id = SigningKey("second")
    provider.publish(same_id, old)
    time.sleep(_AGAIN)
    assert send(served, provider.token(key=old)) == 200
    assert send(served, provider.token(key=same_id)) == 200
    assert send(served, provider.token(key=changed)) == 401
    provider.key = old


def test_made_up_keys_do_not_reach_the_provider_each(served: Served, provider: TokenProvider) -> None:
    token = provider.token()
    time.sleep(_AGAIN)
    before, started = provider.asked, time.monotonic()
    garbage = [provider.token(header={"kid": f"garbage-{number}"}) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda forged: send(served, forged), garbage))
    took = time.monotonic() - started
    assert answers == {401}
    # Two tables name this provider, and each asks it at once and then no sooner than that again.
    assert 1 <= provider.asked - before <= 2 * (1 + took / _AGAIN)
    assert send(served, token) == 200


def test_a_provider_that_is_away_stops_nobody_whose_key_is_known(
    served: Served, provider: TokenProvider
) -> None:
    assert send(served, provider.token()) == 200
    provider.stop()
    try:
        time.sleep(_AGAIN)
        assert send(served, provider.token({"sub": "fresh"})) == 200
        assert send(served, provider.token(key=SigningKey("unknown"))) == 401
    finally:
        provider.start()


def test_a_provider_that_was_away_at_the_start(served: Served, absent: TokenProvider) -> None:
    """Senders hear that they should come again, and lose nothing."""
    token = absent.token()
    answer = served.post(traces([span()]), headers=bearer(token))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    assert send_by_grpc(served, token) == grpc.StatusCode.UNAVAILABLE
    absent.start()
    until(lambda: send(served, token) == 200, 5, "the provider's return")


def test_our_own_sender_follows_a_token_that_is_replaced(
    served: Served, provider: TokenProvider, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    delivery = DeliverySettings.for_collector(served.url, key_file=KeyFile(str(path)))
    poster = HttpPoster(delivery, {"content-type": "application/x-protobuf"})

    def sent(token: str) -> str:
        path.with_name("next").write_text(token + "\n")
        path.with_name("next").replace(path)
        answer = poster.post(delivery.endpoints["traces"], traces([span()]).SerializeToString(), 10)
        return answer.kind if isinstance(answer, ExportResult) else str(answer.status_code)

    ended = provider.token({"iat": _now(-400), "exp": _now(-40)})
    tokens = (provider.token(), ended, provider.token({"sub": "next"}))
    assert [sent(token) for token in tokens] == ["200", "retry", "200"]
    poster.close()


def test_people_of_an_openid_provider(served: Served, oidc: str) -> None:
    token = _id_token(oidc, "ada", "llmtrace")
    assert ask(served, token).text == "1\n"
    assert send(served, token) == 401
    assert ask(served, _id_token(oidc, "ada", "another-client")).status_code == 401
    assert ask(served, _id_token(oidc, "eve", "llmtrace")).status_code == 401, "she is in no group"


def _id_token(url: str, person: str, client: str) -> str:
    """As a person who signs in gets it."""
    back = "http://127.0.0.1:1/back"
    wanted = {"client_id": client, "redirect_uri": back, "response_type": "code", "scope": "openid"}
    answer = CLIENT.post(f"{url}/oauth2/authorize", params=wanted, data={"sub": person})
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
    tokens = CLIENT.post(f"{url}/oauth2/token", data=form, auth=(client, "any")).json()
    return str(tokens["id_token"])


def issuer(provider: TokenProvider, **fields: Any) -> TokenIssuer:
    usual = {"name": "it", "issuer": provider.url, "audience": "llmtrace", "project": "*", "role": "ingest"}
    return TokenIssuer.model_validate({**usual, **fields})


def test_documents_of_a_provider_that_are_not_believed(
    provider: TokenProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "_SECONDS", 1.0)
    good = provider.key.jwk()
    small = SigningKey("small", bits=1024).jwk()
    with ThreadPoolExecutor(1) as executor:

        def read(**fields: Any) -> SigningKeys:
            keys = SigningKeys(issuer(provider, **fields), executor)
            keys.refresh_when_due()
            return keys

        def reason(**fields: Any) -> str:
            with pytest.raises(KeysUnavailable) as caught:
                read(**fields)
            return str(caught.value)

        try:
            provider.describe(issuer="https://accounts.example.org")
            assert "describes another issuer" in reason()
            provider.describe(jwks_uri="http://192.0.2.1/jwks")
            assert "should be an https address" in reason()
            provider.describe(jwks_uri=f"file://{tmp_path}/jwks")
            assert "should be an https address" in reason()
            provider.describe()
            provider.behave(f"redirect {provider.url}/jwks")
            assert "answers 302" in reason()
            provider.behave("500")
            assert "answers 500" in reason()
            provider.behave("slow")
            started = time.monotonic()
            assert "takes longer" in reason() or "timed out" in reason()
            assert time.monotonic() - started < 3
            provider.behave()
            for text in ("", "[]", "{}", '{"keys": {}}', '{"keys": []}', "[" * 100_000, "\x00"):
                provider.publish_text(text)
                assert "cannot be had" in reason()
            provider.publish_text(json.dumps({"keys": [good], "pad": "x" * 300_000}))
            assert "more than" in reason()
            provider.publish(*[good] * 101)
            assert "at most 100" in reason()
            unfit: list[Any] = [
                7,
                None,
                "x",
                {},
                {"kty": "RSA"},
                {**good, "n": "!"},
                {**good, "n": "AQ"},
                small,
            ]
            unfit += [{**good, "use": "enc"}, {**good, "alg": "RS512"}, {**good, "kid": 3}]
            unfit += [{"kty": "oct", "kid": "first", "k": encoded(b"secret" * 8), "alg": "HS256"}]
            provider.publish(*unfit)
            assert "none of its keys" in reason()
            provider.publish(*unfit, good)
            keys = read()
            assert keys.get("first", "RS256") is not None
            assert keys.get(None, "RS256") is keys.get("first", "RS256")
            assert keys.get("small", "RS256") is None
            provider.publish(good, {**good, "kid": "again"})
            assert read().get(None, "RS256") is None, "which of two would be a guess"
        finally:
            provider.behave()
            provider.describe()
            provider.publish(provider.key)


def test_keys_come_from_a_file_or_with_a_token_of_ours(provider: TokenProvider, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [provider.key.jwk()]}))
    tokens = Tokens([issuer(provider, issuer="https://elsewhere.example", jwks=str(path))])
    tokens.refresh()
    assert tokens.find(provider.token({"iss": "https://elsewhere.example"})) is not None
    tokens.close()
    (tmp_path / "token").write_text("of-the-collector\n")
    tokens = Tokens([issuer(provider, token_file=tmp_path / "token")])
    tokens.refresh()
    assert provider.headers["authorization"] == "Bearer of-the-collector"
    tokens.close()


def test_old_keys_hold_for_a_day(provider: TokenProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens([issuer(provider)])
    tokens.refresh()
    token = provider.token()
    assert tokens.find(token) is not None
    monkeypatch.setattr(signing_keys, "_STALE_SECONDS", 0.0)
    with pytest.raises(Exception, match="cannot be had"):
        tokens.find(token)
    tokens.close()


def test_a_known_token_costs_microseconds(provider: TokenProvider) -> None:
    tokens = Tokens([issuer(provider)])
    tokens.refresh()
    token = provider.token()
    tokens.find(token)
    started = time.perf_counter()
    for _ in range(2000):
        tokens.find(token)
    per_token = (time.perf_counter() - started) / 2000
    assert per_token < 50e-6, f"{per_token * 1e6:.1f} us"
    many = [provider.token({"sub": hashlib.sha256(bytes([number])).hexdigest()}) for number in range(40)]
    for other in many:
        assert tokens.find(other) is not None
    tokens.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"project": ""}, "which project"),
        ({"role": None}, "what its tokens may do"),
        ({"role_claim": "roles"}, "belong together"),
        ({"roles": {"a": "read"}}, "belong together"),
        ({"roles": {"a": "dashboard"}, "role_claim": "r"}, "ingest"),
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"algorithms": ["none"]}, "RS256"),
        ({"algorithms": []}, "at least 1"),
        ({"audience": []}, "at least 1"),
        ({"issuer": "http://accounts.example.org"}, "https address"),
        ({"jwks": "http://accounts.example.org/jwks"}, "https address"),
        ({"jwks": "jwks.json"}, "absolute path"),
        ({"issuer": "accounts"}, "https address"),
        ({"project": "a b"}, "match"),
        ({"leeway_seconds": 301}, "300"),
    ],
)
def test_settings_that_would_be_a_hole_are_refused(
    absent: TokenProvider, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        issuer(absent, **fields)


def test_providers_are_keys_for_other_addresses_too(absent: TokenProvider, tmp_path: Path) -> None:
    def bound(*issuers: TokenIssuer) -> CollectorSettings:
        return CollectorSettings(host="0.0.0.0", data_dir=tmp_path, issuers=issuers)

    with pytest.raises(UnsafeBind):
        load_keys(bound(issuer(absent)))
    assert load_keys(bound(issuer(absent), issuer(absent, name="readers", role="read"))).ingest is None
    with pytest.raises(ValidationError, match="two issuers have the name it"):
        bound(issuer(absent), issuer(absent))
