"""Settings: the only module that reads the environment.

Precedence: argument of `llmtrace.init` > `LLMTRACE_*` > `OTEL_*` > default.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

from . import semconv
from .common.tls import TlsFiles
from .delivery.settings import SIGNALS, DeliverySettings, Endpoint, Signal, tls_files
from .spans.sampling import SampleRule

HttpSpans = Literal["other", "all", "none"]
DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318"
DEFAULT_DASHBOARD: Final = "http://127.0.0.1:8501"
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class ConfigError(ValueError):
    """A setting is unusable; the message names it and says what it should be."""


@dataclass(frozen=True, slots=True)
class Config:
    """The arguments of `init` and the environment, resolved. Durations are seconds, sizes bytes."""

    delivery: DeliverySettings
    """Where spans and scores go, and within which bounds."""
    service_name: str | None = None
    """None leaves it to the resource, for which the OTel SDK reads OTEL_SERVICE_NAME."""
    project: str | None = None
    capture_content: bool = True
    """Whether messages and tool definitions are recorded."""
    redact_secrets: bool = True
    redact_pii: bool = False
    redact: tuple[Callable[[str], str], ...] = ()
    """The application's own redaction, applied to each recorded text after the built-in patterns."""
    baggage_hosts: tuple[str, ...] = ()
    """Hosts (`api.example.org`, `*.example.org`) that requests may carry baggage to."""
    sample_rate: float = 1.0
    """Share of traces that are sent; those with an error or a slow span are sent always."""
    rules: tuple[SampleRule, ...] = ()
    keep_slower_than: float = 10.0
    dashboard_url: str = DEFAULT_DASHBOARD
    http_spans: HttpSpans = "other"
    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    disabled: bool = False
    strict: bool = False
    keep_propagators: bool = False
    """The application chose its propagators (OTEL_PROPAGATORS): leave them alone."""
    attribute_limits: bool = False
    """The application limits attribute lengths (OTEL_*_LENGTH_LIMIT): spans must go through the OTel SDK."""
    handle_sigterm: bool = True
    """Flush on SIGTERM where the program leaves that signal to its default."""
    exit_timeout: float = 5.0
    """Longest time that leaving the program waits for the last batch."""
    max_body_bytes: int = 8 * 2**20
    """Of a longer response stream, the beginning and the tail (where usage is) are kept."""
    max_content_chars: int = 2**20
    """Bound on each message attribute; longer texts are cut with a visible mark."""


def resolve(
    *,
    endpoint: str | None = None,
    service_name: str | None = None,
    capture_content: bool | None = None,
    project: str | None = None,
    redact_secrets: bool | None = None,
    redact_pii: bool | None = None,
    redact: Callable[[str], str] | Sequence[Callable[[str], str]] | None = None,
    baggage_hosts: Sequence[str] | None = None,
    sample_rate: float | None = None,
    rules: Sequence[SampleRule] | None = None,
    keep_slower_than: float | None = None,
    dashboard_url: str | None = None,
    http_spans: str | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    api_key: str | None = None,
    certificate: str | os.PathLike[str] | None = None,
    client_certificate: str | os.PathLike[str] | None = None,
    client_key: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Merge arguments, environment and defaults; raises ConfigError for a value that cannot be used."""
    env = os.environ if environ is None else environ
    own_endpoint = endpoint or env.get("LLMTRACE_ENDPOINT")

    def tls(signal: Signal) -> TlsFiles:
        return tls_files(
            env, signal, certificate=certificate, client_certificate=client_certificate, client_key=client_key
        )

    # OTEL_* headers are credentials of the OTEL_* endpoint: never send them to an endpoint named otherwise.
    export_headers: dict[str, str] = {}
    if not own_endpoint:
        text = env.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or env.get("OTEL_EXPORTER_OTLP_HEADERS", "")
        export_headers.update(parse_env_headers(text, liberal=True))
    key = api_key or env.get("LLMTRACE_API_KEY")
    if key:
        export_headers["authorization"] = f"Bearer {key}"
    export_headers.update({name.lower(): value for name, value in (headers or {}).items()})

    resource = dict(resource_attributes or {})
    service_name = service_name or env.get("LLMTRACE_SERVICE_NAME") or resource.get(semconv.SERVICE_NAME)
    project = project or env.get("LLMTRACE_PROJECT") or resource.get(semconv.PROJECT)
    named = {semconv.SERVICE_NAME: service_name, semconv.PROJECT: project}
    spans = http_spans or env.get("LLMTRACE_HTTP_SPANS") or "other"
    if spans not in get_args(HttpSpans):
        raise ConfigError(f"http_spans / LLMTRACE_HTTP_SPANS is {spans!r}; use 'other', 'all' or 'none'")
    return Config(
        delivery=DeliverySettings(
            endpoints={
                signal: Endpoint(url=url, tls=tls(signal)) for signal, url in _urls(own_endpoint, env).items()
            },
            headers=export_headers,
            resource_attributes=resource | {key: value for key, value in named.items() if value},
            spool_dir=_spool_dir(env),
            spool_bytes=_count(env, "LLMTRACE_SPOOL_BYTES", default=256 * 2**20),
            schedule_delay=_milliseconds(env, "OTEL_BSP_SCHEDULE_DELAY", default=1000.0) / 1e3,
        ),
        service_name=service_name,
        project=project,
        capture_content=_flag(env, "LLMTRACE_CAPTURE_CONTENT", default=True)
        if capture_content is None
        else capture_content,
        http_spans=cast("HttpSpans", spans),
        redact_secrets=_argument_or_flag(redact_secrets, env, "LLMTRACE_REDACT_SECRETS", default=True),
        redact_pii=_argument_or_flag(redact_pii, env, "LLMTRACE_REDACT_PII", default=False),
        redact=(redact,) if callable(redact) else tuple(redact or ()),
        baggage_hosts=_hosts(baggage_hosts, env),
        sample_rate=_number(sample_rate, env, "LLMTRACE_SAMPLE_RATE", default=1.0, most=1.0),
        rules=tuple(rules or ()),
        keep_slower_than=_number(keep_slower_than, env, "LLMTRACE_KEEP_SLOWER_THAN", default=10.0),
        dashboard_url=_checked_url(
            dashboard_url or env.get("LLMTRACE_DASHBOARD_URL") or DEFAULT_DASHBOARD,
            "dashboard_url / LLMTRACE_DASHBOARD_URL",
        ),
        resource_attributes=resource,
        disabled=_flag(env, "LLMTRACE_DISABLED", default=_flag(env, "OTEL_SDK_DISABLED", default=False)),
        strict=strict_from_environment(env),
        keep_propagators="OTEL_PROPAGATORS" in env,
        attribute_limits=any(name.endswith("ATTRIBUTE_VALUE_LENGTH_LIMIT") for name in env),
        handle_sigterm=_flag(env, "LLMTRACE_HANDLE_SIGTERM", default=True),
    )


def _urls(own_endpoint: str | None, env: Mapping[str, str]) -> dict[Signal, str]:
    """Full URLs by signal: below our own endpoint, else where OTel's variables say."""
    if own_endpoint:
        base = _checked_url(own_endpoint, "endpoint / LLMTRACE_ENDPOINT")
        return {signal: f"{base}/v1/{signal}" for signal in SIGNALS}
    general = "OTEL_EXPORTER_OTLP_ENDPOINT"
    base = _checked_url(env.get(general) or DEFAULT_ENDPOINT, general)
    urls: dict[Signal, str] = {}
    for signal in SIGNALS:
        name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        urls[signal] = env.get(name) or f"{base}/v1/{signal}"
        _checked_url(urls[signal], name)
    return urls


def strict_from_environment(environ: Mapping[str, str] | None = None) -> bool:
    """Whether LLMTRACE_STRICT asks for internal failures to be raised."""
    env = os.environ if environ is None else environ
    return env.get("LLMTRACE_STRICT", "").strip().lower() in _TRUE


def _checked_url(url: str, name: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{name} is {url!r}; use a URL such as {DEFAULT_ENDPOINT}")
    return url.strip().rstrip("/").removesuffix("/v1/traces")


def _flag(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = env.get(name, "").strip().lower()
    if not value:
        return default
    if value not in _TRUE | _FALSE:
        raise ConfigError(f"{name} is {value!r}; use true or false")
    return value in _TRUE


def _spool_dir(env: Mapping[str, str]) -> str:
    named = env.get("LLMTRACE_SPOOL_DIR")
    if named is not None:
        return "" if named.strip().lower() in _FALSE else named.strip()
    cache = env.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return str(Path(cache) / "llmtrace" / "spool")


def _count(env: Mapping[str, str], name: str, *, default: int) -> int:
    value = env.get(name, "").strip()
    if not value:
        return default
    if not value.isdigit():
        raise ConfigError(f"{name} is {value!r}; use a whole number, 0 or more")
    return int(value)


def _number(
    argument: float | None, env: Mapping[str, str], name: str, *, default: float, most: float = math.inf
) -> float:
    """From 0 to `most`."""
    value: object = env.get(name, "").strip() or default if argument is None else argument
    try:
        number = float(value)  # type: ignore[arg-type]  # what it refuses is answered below
    except (TypeError, ValueError):
        number = -1.0
    if not 0.0 <= number <= most:
        limit = "0 or more" if most == math.inf else f"from 0 to {most:g}"
        raise ConfigError(f"{name} (or its argument of init) is {value!r}; use a number, {limit}")
    return number


def _argument_or_flag(argument: bool | None, env: Mapping[str, str], name: str, *, default: bool) -> bool:
    return _flag(env, name, default=default) if argument is None else argument


def _hosts(argument: Sequence[str] | None, env: Mapping[str, str]) -> tuple[str, ...]:
    named = env.get("LLMTRACE_BAGGAGE_HOSTS", "").split(",") if argument is None else argument
    return tuple(host.strip().lower() for host in named if host.strip())


def _milliseconds(env: Mapping[str, str], name: str, *, default: float) -> float:
    value = env.get(name, "").strip()
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise ConfigError(f"{name} is {value!r}; use a number of milliseconds above 0")
    return number
