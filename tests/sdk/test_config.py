"""Which setting wins."""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

import llmtrace
from llmtrace.config import resolve
from llmtrace.setting_values import ConfigError
from llmtrace.settings import own_variable, settings

from . import settings_reference

RULE = llmtrace.SampleRule(rate=0.5)


def test_defaults() -> None:
    config = resolve(environ={})
    assert config.delivery.endpoints["traces"].url == "http://127.0.0.1:4318/v1/traces"
    assert config.delivery.endpoints["logs"].url == "http://127.0.0.1:4318/v1/logs"
    assert config.capture_content
    assert config.http_spans == "other"
    assert not config.disabled
    assert not config.delivery.headers


ENDPOINTS: list[tuple[dict[str, str], str | None, str, str]] = [
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://o:1/"}, None, "http://o:1/v1/traces", "http://o:1/v1/logs"),
    (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://o:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:2/x"},
        None,
        "http://t:2/x",
        "http://o:1/v1/logs",
    ),
    (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:2/x", "LLMTRACE_ENDPOINT": "http://l:3"},
        None,
        "http://l:3/v1/traces",
        "http://l:3/v1/logs",
    ),
    (
        {"LLMTRACE_ENDPOINT": "http://l:3"},
        "https://a:4/base/",
        "https://a:4/base/v1/traces",
        "https://a:4/base/v1/logs",
    ),
]


@pytest.mark.parametrize(("environ", "argument", "traces", "logs"), ENDPOINTS)
def test_endpoint(environ: dict[str, str], argument: str | None, traces: str, logs: str) -> None:
    config = resolve(endpoint=argument, environ=environ)
    assert (config.delivery.endpoints["traces"].url, config.delivery.endpoints["logs"].url) == (traces, logs)


def test_names_and_flags() -> None:
    environ = {"OTEL_SDK_DISABLED": "true", "LLMTRACE_CAPTURE_CONTENT": "false"}
    config = resolve(environ=environ)
    assert (config.service_name, config.disabled, config.capture_content) == (None, True, False)
    environ |= {"LLMTRACE_SERVICE_NAME": "l", "LLMTRACE_DISABLED": "0", "LLMTRACE_PROJECT": "p"}
    config = resolve(environ=environ, capture_content=True)
    assert (config.service_name, config.disabled, config.capture_content) == ("l", False, True)
    assert config.project == "p"
    assert resolve(environ=environ, service_name="a", project="q").service_name == "a"


def test_keys_go_only_where_they_belong() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20other,x-team=1"}
    assert resolve(environ=environ).delivery.headers == {"authorization": "Bearer other", "x-team": "1"}
    config = resolve(environ=environ | {"LLMTRACE_API_KEY": "k"}, endpoint="http://elsewhere:1")
    assert config.delivery.headers == {"authorization": "Bearer k"}
    assert "Bearer" not in repr(config)


BAD: list[tuple[dict[str, str], dict[str, Any], str]] = [
    ({"LLMTRACE_ENDPOINT": "localhost:4318"}, {}, "LLMTRACE_ENDPOINT is 'localhost:4318'; use a URL such as"),
    ({"LLMTRACE_CAPTURE_CONTENT": "maybe"}, {}, "LLMTRACE_CAPTURE_CONTENT is 'maybe'; use true or false"),
    ({"LLMTRACE_SAMPLE_RATE": "1"}, {"sample_rate": 2}, "sample_rate is 2; use a number, from 0 to 1"),
    ({}, {"keep_slower_than": float("nan")}, "keep_slower_than is nan; use a number, 0 or more"),
    ({}, {"http_spans": "some"}, "http_spans is 'some'; use 'other', 'all' or 'none'"),
    ({"LLMTRACE_PURPOSE": "test"}, {}, "LLMTRACE_PURPOSE is 'test'; use 'product', .* or 'playground'"),
    (
        {},
        {"resource_attributes": {"llmtrace.purpose": "test"}, "purpose": "bench"},
        r"resource_attributes\['llmtrace.purpose'\] is 'test'; use 'product', .* or 'playground'",
    ),
    ({}, {"spool_bytes": -1}, "spool_bytes is -1; use a whole number, 0 or more"),
    ({}, {"schedule_delay": 0}, "schedule_delay is 0; use a number of seconds above 0"),
    ({"OTEL_BSP_SCHEDULE_DELAY": "-1"}, {}, "milliseconds above 0"),
    ({}, {"redact": ["x"]}, "redact is .*; use a function from text to text, or a list of them"),
    ({}, {"rules": [0.5]}, "use a list of llmtrace.SampleRule"),
    ({}, {"headers": "a=b"}, "headers is of type str; use a mapping"),
    ({}, {"certificate": 7}, "certificate is 7; use a path"),
]


@pytest.mark.parametrize(("environ", "arguments", "message"), BAD)
def test_unusable_values_say_how_to_mend_them(
    environ: dict[str, str], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(environ=environ, **arguments)


SECRET = "TOPSECRET"
SECRETS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {"api_key": f"llmt_…{SECRET}"}),
    ({}, {"api_key": f"llmt\n{SECRET}"}),
    ({}, {"headers": f"authorization=Bearer {SECRET}"}),
    ({}, {"headers": {"authorization": f"Bearer {SECRET}\r\nx"}}),
    ({}, {"headers": {"authorization": [SECRET]}}),
    ({}, {"headers": {f"a {SECRET}": "b"}}),
    ({"OTEL_EXPORTER_OTLP_HEADERS": f"authorization={SECRET}%E2%80%A6"}, {}),
    ({}, {"endpoint": f"htp://user:{SECRET}@host"}),
    ({}, {"endpoint": f"user:{SECRET}@host"}),
    ({}, {"endpoint": f"http://user:a/{SECRET}@host"}),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{SECRET}\u2100@host"}, {}),
]


@pytest.mark.parametrize(("environ", "arguments"), SECRETS)
def test_no_message_holds_a_secret(environ: dict[str, str], arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refusal:
        resolve(environ=environ, **arguments)
    assert SECRET not in "".join(traceback.format_exception(refusal.value, chain=True))
    assert str(refusal.value).startswith(next(iter(environ | arguments)))


def test_the_headers_of_the_environment(caplog: pytest.LogCaptureFixture) -> None:
    listed = f"Bearer {SECRET}, X-Team=a%20b ,authorization=Bearer a%20b,,a b={SECRET}"
    with caplog.at_level(logging.WARNING):
        headers = resolve(environ={"OTEL_EXPORTER_OTLP_HEADERS": listed}).delivery.headers
    assert headers == {"x-team": "a b", "authorization": "Bearer a%20b"}
    assert "OTEL_EXPORTER_OTLP_HEADERS holds what is no header" in caplog.text
    assert SECRET not in caplog.text


def test_a_key_is_stripped_and_an_address_has_no_password() -> None:
    config = resolve(
        environ={}, api_key=" k\n", headers={"x-a": "b\n"}, endpoint="http://user:p@[::1]:4318/base"
    )
    assert config.delivery.headers == {"authorization": "Bearer k", "x-a": "b"}
    assert config.delivery.endpoints["traces"].url == "http://[::1]:4318/base/v1/traces"


#: For each setting: an argument, the text of its variable and of OTel's, and the value of all three.
SAMPLES: dict[str, tuple[Any, str | None, str | None, Any]] = {
    "endpoint": ("http://a:1/", "http://a:1", None, "http://a:1"),
    "api_key": ("k", "k", None, "k"),
    "api_key_file": (Path("/run/token"), "/run/token", None, "/run/token"),
    "headers": ({"X-Team": "1"}, None, None, {"X-Team": "1"}),
    "service_name": ("s", "s", None, "s"),
    "project": ("p", "p", None, "p"),
    "purpose": ("bench", "bench", None, "bench"),
    "capture": ("all", "all", None, "all"),
    "capture_content": (False, "off", None, False),
    "attachment_bytes": (1024, "1024", None, 1024),
    "redact": (str.upper, None, None, (str.upper,)),
    "redact_secrets": (False, "no", None, False),
    "redact_pii": (True, "1", None, True),
    "baggage_hosts": (["A.example", "b"], "a.example, b", None, ("a.example", "b")),
    "providers": (
        {"LLM.example": "openai"},
        "llm.example=openai, ",
        None,
        {"llm.example": "openai"},
    ),
    "sample_rate": (0.5, "0.5", None, 0.5),
    "rules": ([RULE], None, None, (RULE,)),
    "keep_slower_than": (0, "0", None, 0.0),
    "dashboard_url": ("https://d/", "https://d", None, "https://d"),
    "http_spans": ("all", "all", None, "all"),
    "logs": (True, "1", None, True),
    "logs_level": ("warning", "30", None, 30),
    "logs_per_second": (0, "0", None, 0),
    "certificate": (Path("ca.pem"), None, None, "ca.pem"),
    "client_certificate": ("c.pem", None, None, "c.pem"),
    "client_key": ("k.pem", None, None, "k.pem"),
    "resource_attributes": ({"host.name": "h"}, None, None, {"host.name": "h"}),
    "spool_dir": (Path("/tmp/s"), "/tmp/s", None, "/tmp/s"),
    "spool_bytes": (5, "5", None, 5),
    "schedule_delay": (0.25, "0.25", "250", 0.25),
    "propagate_threads": (False, "false", None, False),
    "handle_sigterm": (False, "false", None, False),
    "disabled": (True, "true", "true", True),
    "strict": (True, "1", None, True),
}


def test_there_is_a_sample_of_each_setting() -> None:
    assert [*SAMPLES] == [*settings()]


@pytest.mark.parametrize("name", SAMPLES)
def test_argument_variable_and_default(name: str) -> None:
    """An argument goes before our variable, that before OTel's, and that before the default."""
    argument, own, otel, value = SAMPLES[name]
    item, setting = settings()[name]
    default = getattr(resolve(environ={}), name)
    assert default == (item.default_factory() if callable(item.default_factory) else item.default)
    assert value != default
    assert getattr(resolve(environ={}, **{name: argument}), name) == value
    assert getattr(resolve(environ={}, **{name: None}), name) == default
    assert (own is not None) == (setting.variable == "read")
    others = [variable for variable, reader in setting.otel.items() if reader is not None]
    assert (otel is not None) == bool(others)
    variables = [(variable, otel) for variable in others]
    if own is not None:
        variables.append((own_variable(name), own))
        assert getattr(resolve(environ={own_variable(name): " "}, **{name: argument}), name) == value
    for variable, text in variables:
        assert getattr(resolve(environ={variable: text or ""}), name) == value
        unusable = {variable: "unusable" for variable, _ in variables}
        assert getattr(resolve(environ=unusable, **{name: argument}), name) == value


def test_the_spool_may_be_turned_off() -> None:
    assert resolve(environ={"XDG_CACHE_HOME": "/c"}).delivery.spool_dir == "/c/llmtrace/spool"
    for off in ("off", "0", ""):
        assert resolve(environ={}, spool_dir=off).delivery.spool_dir == ""
        assert resolve(environ={"LLMTRACE_SPOOL_DIR": off}).delivery.spool_dir == ""


def test_the_spool_may_be_below_the_home_folder() -> None:
    expected = str(Path.home() / "spans")
    assert resolve(environ={}, spool_dir="~/spans").delivery.spool_dir == expected
    assert resolve(environ={"LLMTRACE_SPOOL_DIR": "~/spans"}).delivery.spool_dir == expected


def test_settings_reach_delivery() -> None:
    files = {"certificate": "ca.pem", "client_certificate": "c.pem", "client_key": "k.pem"}
    delivery = resolve(
        environ={},
        endpoint="https://c:1",
        spool_bytes=7,
        schedule_delay=0.5,
        project="p",
        purpose="bench",
        **files,
    ).delivery
    tls = delivery.endpoints["traces"].tls
    assert (str(tls.certificate), str(tls.client_certificate), str(tls.client_key)) == (*files.values(),)
    assert (delivery.spool_bytes, delivery.schedule_delay) == (7, 0.5)
    assert delivery.resource_attributes == {"llmtrace.project": "p", "llmtrace.purpose": "bench"}


def test_init_is_what_the_settings_declare() -> None:
    """When it fails: `python -m tests.sdk.settings_reference` prints what to write."""
    parameters = inspect.signature(llmtrace.init).parameters
    assert [*parameters] == [*settings()]
    for name, parameter in parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert (parameter.annotation, parameter.default) == (settings_reference.annotation(name), None)
    docstring = llmtrace.init.__doc__ or ""
    assert docstring.endswith(f"\n\n{settings_reference.documentation()}\n    ")


def test_the_table_in_the_docs_is_what_the_settings_declare() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text(encoding="utf-8")
    assert f"\n\n{settings_reference.table()}\n\n" in documented
    package = Path(llmtrace.__path__[0])
    source = "".join((package / name).read_text(encoding="utf-8") for name in ("config.py", "settings.py"))
    names = set(re.findall(r"\"((?:LLMTRACE|OTEL)_[A-Z_]+[A-Z])\"", source))
    assert names > {"OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"}
    assert not {name for name in names if f"`{name}`" not in documented} - {"OTEL_PROPAGATORS"}


def test_arguments_by_position_work_and_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACE_DISABLED", "1")
    init: Any = llmtrace.init
    with pytest.warns(DeprecationWarning, match=r"write init\(endpoint=…, service_name=…\)") as warned:
        init("http://127.0.0.1:9", "shop", api_key="k")
    assert warned[0].filename == __file__
    monkeypatch.delenv("LLMTRACE_DISABLED")
    with pytest.warns(DeprecationWarning, match="by position"):
        init("http://127.0.0.1:9", "shop", False, "p", "none", {"a": "b"}, {"x": "y"}, "k")
    running = llmtrace.api.lifecycle.current()
    assert running is not None
    config = running.config
    assert (config.endpoint, config.service_name) == ("http://127.0.0.1:9", "shop")
    assert config.capture_content is False
    assert (config.project, config.http_spans, config.resource_attributes) == ("p", "none", {"a": "b"})
    assert config.delivery.headers == {"authorization": "Bearer k", "x": "y"}


def test_arguments_that_are_none_are_refused_at_the_call() -> None:
    init: Any = llmtrace.init
    with pytest.raises(TypeError, match="unexpected keyword argument 'endpont'"):
        init(endpont="http://127.0.0.1:9")
    with pytest.raises(TypeError, match="positional"):
        init("http://127.0.0.1:9", endpoint="http://127.0.0.1:9")
    with pytest.raises(TypeError, match="positional"):
        init(*"abcdefghi")
    assert llmtrace.api.lifecycle.current() is None
