"""All checks of the environment that this runs in, as an application in it would find it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any, Final

import llmtrace
from llmtrace import config as configuration
from llmtrace import semconv
from llmtrace.common.urls import printable
from llmtrace.config import Config
from llmtrace.delivery import killed_processes, shared_counters
from llmtrace.delivery.spool import waiting_in
from llmtrace.setting_values import ConfigError
from llmtrace.settings import Setting, settings, source_of

from . import exporter
from .http_request import ExporterResponse
from .result import Result
from .tracing import hooks
from .versions import versions

#: Shown where nothing sets them, too: what one looks for first.
_ALWAYS: Final = ("endpoint", "api_key", "service_name", "project", "sample_rate", "capture_content")
_MENDING: Final = {
    401: "set LLMTRACE_API_KEY (or api_key_file) to a key of the project that may send",
    0: "set LLMTRACE_CERTIFICATE to the PEM file of the collector's authority",
}


def run_all(endpoint: str | None = None) -> list[Result]:
    """Run every check. `endpoint` is the collector's base URL; None takes what the environment says.

    What an application passes to `llmtrace.init` itself is not known here.
    """
    results = [*versions()]
    try:
        config = configuration.resolve(endpoint=endpoint)
    except ConfigError as error:
        failed = Result("settings", "fail", printable(str(error)), "mend or unset it: tracing stays off so")
        return [*results, failed]
    results += [*hooks(), *settings_in_effect(config, endpoint, os.environ), spool(config), shared_memory()]
    if config.disabled:
        return [*results, Result("disabled", "fail", "nothing is recorded", "unset what sets `disabled`")]
    response, answer = _ask_collector(config)
    results += [answer, exporter.clock(response)]
    if answer.status == "ok":
        results.append(test_span(endpoint))
    return results


def settings_in_effect(config: Config, endpoint: str | None, environ: Mapping[str, str]) -> Iterator[Result]:
    """Each setting that something sets, and the most important others, with where it comes from."""
    for name, (item, setting) in settings().items():
        source = "--endpoint" if name == "endpoint" and endpoint else source_of(name, environ)
        if source or name in _ALWAYS:
            text = _text(name, item, setting, config)
            yield Result(f"setting: {name}", "ok", f"{text} ({source or 'default'})")


def _text(name: str, item: Field[Any], setting: Setting, config: Config) -> str:
    value = getattr(config, name)
    if name == "endpoint":
        return printable(config.delivery.endpoints["traces"].url.removesuffix("/v1/traces"))
    if not item.repr:
        return _masked(value)
    if value is None:
        return setting.default_in_words or "none"
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}={entry}" for key, entry in value.items())
    elif isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return printable(str(value)) or "none"


def _masked(value: Any) -> str:
    if not value:
        return "none"
    if isinstance(value, Mapping):
        return f"{', '.join(value)} (values hidden)"
    text = str(value)
    return (
        f"set, {len(text)} characters, ends in …{text[-4:]}"
        if len(text) > 16
        else f"set, {len(text)} characters"
    )


def spool(config: Config) -> Result:
    """What is sent later has a folder that can be written to; how much waits there."""
    name, folder = "spool", config.delivery.spool_dir
    if not folder or not config.delivery.spool_bytes:
        return Result(name, "warn", "off: what cannot be sent is lost", "set LLMTRACE_SPOOL_DIR to a folder")
    path = Path(folder)
    try:
        existing = path
        while not existing.exists():
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"llmtrace")
        folders = [path, *(below for below in path.rglob("*") if below.is_dir())] if path.is_dir() else []
        waiting = [items for place in folders for _, items in waiting_in(place)]
    except OSError as error:
        remedy = "give this user the folder, or set LLMTRACE_SPOOL_DIR to another"
        return Result(name, "fail", f"{path} cannot be written to ({error.strerror})", remedy)
    if not waiting:
        return Result(name, "ok", f"{path} can be written to, nothing waits there")
    detail = f"{sum(waiting)} spans and log records wait in {len(waiting)} files below {path}"
    remedy = "a program with that endpoint and key sends them once the collector answers"
    return Result(name, "warn", detail, remedy)


def shared_memory() -> Result:
    """A process that starts has room for its counters where a kill leaves them."""
    name, folder = "shared memory", shared_counters.FOLDER
    try:
        killed_processes.free_shared_memory()
        count = shared_counters.sharing()
    except OSError as error:
        detail = (
            f"{folder} cannot be used ({error.strerror}): a kill leaves the counters as they were on disk"
        )
        return Result(name, "ok", detail)
    detail = f"{count} of at most {shared_counters.MOST_FILES} processes have their counters in {folder}"
    if count < shared_counters.MOST_FILES:
        return Result(name, "ok", detail)
    remedy = "more processes count as well; of one that is killed, what was not on disk yet is not counted"
    return Result(name, "warn", detail, remedy)


def _ask_collector(config: Config) -> tuple[ExporterResponse | None, Result]:
    endpoint = config.delivery.endpoints["traces"]
    try:
        headers = config.delivery.headers_now()
        return exporter.ask(endpoint.url, headers, endpoint.tls, _MENDING)
    except (OSError, ValueError) as error:  # the key's file, or a certificate's
        detail = printable(str(error))
        return None, Result(exporter.LABEL, "fail", detail, "mend api_key_file or the certificate's file")


def test_span(endpoint: str | None) -> Result:
    """A span is sent as an application's would be, and acknowledged; with its address in the dashboard."""
    name = "test span"
    llmtrace.shutdown()
    llmtrace.init(endpoint=endpoint, service_name="llmtrace doctor", spool_dir="off", sample_rate=1.0)
    with contextlib.ExitStack() as stack:
        stack.callback(llmtrace.shutdown)
        with llmtrace.context(purpose=semconv.PURPOSE_BENCH), llmtrace.span("llmtrace doctor"):
            url = llmtrace.trace_url()
        if llmtrace.flush(10):
            return Result(name, "ok", f"is at {url}")
        stats = llmtrace.stats()
    detail = f"was not acknowledged in 10 s (dropped {stats.dropped}, pending {stats.pending})"
    return Result(
        name, "fail", detail, "the line of the logger llmtrace above says why; see the collector's log"
    )
