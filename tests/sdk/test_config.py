"""Which setting wins."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import llmtrace
from llmtrace.config import ConfigError, resolve


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
    ({"LLMTRACE_ENDPOINT": "localhost:4318"}, {}, "endpoint"),
    ({"LLMTRACE_CAPTURE_CONTENT": "maybe"}, {}, "LLMTRACE_CAPTURE_CONTENT is 'maybe'; use true or false"),
    ({}, {"http_spans": "some"}, "use 'other', 'all' or 'none'"),
    ({"OTEL_BSP_SCHEDULE_DELAY": "-1"}, {}, "milliseconds above 0"),
]


@pytest.mark.parametrize(("environ", "arguments", "message"), BAD)
def test_unusable_values_say_how_to_mend_them(
    environ: dict[str, str], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(environ=environ, **arguments)


def test_every_variable_is_documented() -> None:
    root = Path(__file__).parents[2]
    source = (root / "sdk" / "llmtrace" / "config.py").read_text(encoding="utf-8")
    documented = (root / "docs" / "sdk.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\"((?:LLMTRACE|OTEL)_[A-Z_]+)\"", source))
    assert len(names) > 10
    assert not {name for name in names if f"`{name}`" not in documented}
    for argument in inspect.signature(llmtrace.init).parameters:
        assert f"| `{argument}` |" in documented
