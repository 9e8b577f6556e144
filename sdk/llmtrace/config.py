"""The configuration: arguments of `llmtrace.init`, environment and defaults, resolved.

The only module that reads the environment. Precedence: argument > `LLMTRACE_*` > `OTEL_*` > default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from . import internal_errors, semconv, settings
from . import setting_values as values
from .common.sealed_files import EncryptionKeys, EncryptionUnavailable, load_keys
from .delivery.key_file import KeyFile
from .delivery.settings import SIGNALS, DeliverySettings, Endpoint, Signal, tls_files
from .settings import DEFAULT_ENDPOINT, InitSettings
from .spans import capture_level
from .spans.capture_level import Capture
from .wire.render import MESSAGE_CHARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(InitSettings):
    """The settings, and what follows from them. Durations are seconds, sizes bytes."""

    delivery: DeliverySettings
    """Where spans and scores go, and within which bounds."""
    keep_propagators: bool = False
    """The application chose its propagators (OTEL_PROPAGATORS): leave them alone."""
    attribute_limits: bool = False
    """The application limits attribute lengths (OTEL_*_LENGTH_LIMIT): spans must go through the OTel SDK."""
    exit_timeout: float = 5.0
    """Longest time that leaving the program waits for the last batch."""
    max_body_bytes: int = 8 * 2**20
    """Of a longer response stream, the beginning and the tail (where usage is) are kept."""
    max_content_chars: int = MESSAGE_CHARS
    """Bound on each message attribute; longer texts are cut with a visible mark."""


def resolve(*, environ: Mapping[str, str] | None = None, **arguments: Any) -> Config:
    """Merge arguments (see `settings.InitSettings`), environment and defaults.

    Raises ConfigError for a value that cannot be used, TypeError for an argument that is no setting.
    """
    env = os.environ if environ is None else environ
    chosen = settings.read(arguments, env)
    resource = chosen.get("resource_attributes", {})
    # None leaves the name to the resource, for which the OTel SDK reads OTEL_SERVICE_NAME.
    chosen.setdefault("service_name", resource.get(semconv.SERVICE_NAME))
    chosen.setdefault("project", resource.get(semconv.PROJECT))
    chosen.setdefault("purpose", _purpose_of(resource))
    chosen["capture"] = _capture(arguments, chosen)
    chosen["capture_content"] = chosen["capture"] != "none"
    return Config(
        **chosen,
        delivery=_delivery(InitSettings(**chosen), env),
        keep_propagators="OTEL_PROPAGATORS" in env,
        attribute_limits=any(name.endswith("ATTRIBUTE_VALUE_LENGTH_LIMIT") for name in env),
    )


def _capture(arguments: Mapping[str, Any], chosen: Mapping[str, Any]) -> Capture:
    """How much content is recorded: an argument of either name, else a variable of either."""
    is_argument = [name for name in ("capture", "capture_content") if arguments.get(name) is not None]
    for name in (*is_argument, "capture", "capture_content"):
        if name in chosen:
            value = chosen[name]
            return capture_level.of_flag(value) if isinstance(value, bool) else cast("Capture", value)
    return capture_level.of_flag(True)


def _purpose_of(resource: Mapping[str, str]) -> str | None:
    if semconv.PURPOSE not in resource:
        return None
    name = f"resource_attributes[{semconv.PURPOSE!r}]"
    return str(values.one_of(*semconv.PURPOSES)(name, resource[semconv.PURPOSE]))


def is_strict(argument: bool | None = None) -> bool:
    """Whether failures are to be raised: known before the rest, whose failures it decides on."""
    return bool(settings.value("strict", argument, os.environ))


def _delivery(chosen: InitSettings, env: Mapping[str, str]) -> DeliverySettings:
    headers: dict[str, str] = {}
    # OTEL_* headers are credentials of the OTEL_* endpoint: never send them to an endpoint named otherwise.
    if chosen.endpoint is None:
        name = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
        name = name if env.get(name) else "OTEL_EXPORTER_OTLP_HEADERS"
        headers.update(values.headers(name, _listed_headers(name, env.get(name, ""))))
    if chosen.api_key:
        headers["authorization"] = f"Bearer {chosen.api_key}"
    elif chosen.api_key_file:
        headers.pop("authorization", None)
    headers.update({name.lower(): value for name, value in chosen.headers.items()})
    named = {
        semconv.SERVICE_NAME: chosen.service_name,
        semconv.PROJECT: chosen.project,
        semconv.PURPOSE: chosen.purpose,
    }
    spool_dir = _spool_dir(chosen.spool_dir, env)
    keys: EncryptionKeys | None = None
    try:
        keys = load_keys(environment=env)
    except EncryptionUnavailable as error:
        # What was to be encrypted is not written instead.
        internal_errors.warn_once("encryption keys", "nothing is kept on disk: %s", error)
        spool_dir = ""
    return DeliverySettings(
        endpoints={
            signal: Endpoint(
                url=url,
                tls=tls_files(
                    env,
                    signal,
                    certificate=chosen.certificate,
                    client_certificate=chosen.client_certificate,
                    client_key=chosen.client_key,
                ),
            )
            for signal, url in _urls(chosen.endpoint, env).items()
        },
        headers=headers,
        key_file=KeyFile(chosen.api_key_file) if chosen.api_key_file and not chosen.api_key else None,
        resource_attributes={
            **chosen.resource_attributes,
            **{key: value for key, value in named.items() if value},
        },
        spool_dir=spool_dir,
        encryption_keys=keys,
        spool_bytes=chosen.spool_bytes,
        schedule_delay=chosen.schedule_delay,
    )


def _listed_headers(variable: str, text: str) -> dict[str, str]:
    """`name=value,name=value`, values URL-encoded, or with spaces and as they are.

    What is neither is left out; OpenTelemetry's own reader would log it, secrets and all.
    """
    headers: dict[str, str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = item.partition("=")
        name, value = unquote(name).strip().lower(), value.strip()
        if equals and values.is_header_name(name):
            headers[name] = value if " " in value else unquote(value)
        else:
            internal_errors.warn_once(
                f"headers of {variable}",
                "%s holds what is no header, which is left out; write name=value,name=value, the values "
                "URL-encoded.",
                variable,
            )
    return headers


def _urls(own_endpoint: str | None, env: Mapping[str, str]) -> dict[Signal, str]:
    """Full URLs by signal: below our own endpoint, else where OTel's variables say."""
    if own_endpoint:
        return {signal: f"{own_endpoint}/v1/{signal}" for signal in SIGNALS}
    general = "OTEL_EXPORTER_OTLP_ENDPOINT"
    base = values.url(general, env.get(general) or DEFAULT_ENDPOINT)
    urls: dict[Signal, str] = {}
    for signal in SIGNALS:
        name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
        urls[signal] = env.get(name) or f"{base}/v1/{signal}"
        values.url(name, urls[signal])
    return urls


def _spool_dir(named: str | None, env: Mapping[str, str]) -> str:
    """The folder; empty for none."""
    if named is not None:
        return "" if not named or named.lower() in values.FALSE else str(Path(named).expanduser())
    cache = env.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return str(Path(cache) / "llmtrace" / "spool")
