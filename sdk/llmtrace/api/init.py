"""`llmtrace.init`: its arguments are the fields of `settings.InitSettings`, which a test holds it to."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, ParamSpec

from llmtrace.internal_errors import swallow
from llmtrace.redaction.redactor import Redact
from llmtrace.settings import HttpSpans
from llmtrace.spans.capture_level import Capture
from llmtrace.spans.sampling import SampleRule

from . import lifecycle, notebook

P = ParamSpec("P")
#: What may be passed by position until 0.3, in that order.
_FORMER_POSITIONS: Final = (
    *("endpoint", "service_name", "capture_content", "project"),
    *("http_spans", "resource_attributes", "headers", "api_key"),
)


def _keywords_only(function: Callable[P, None]) -> Callable[P, None]:
    """Take arguments by position for one more release, with a warning that says what to write."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        named = dict(zip(_FORMER_POSITIONS, args, strict=False))
        if len(args) > len(_FORMER_POSITIONS) or named.keys() & kwargs.keys():
            function(*args, **kwargs)  # raises the language's own TypeError
        if args:
            written = ", ".join(f"{name}=…" for name in named)
            warnings.warn(
                f"llmtrace.init takes its arguments by name: write init({written}); by position goes in 0.3",
                DeprecationWarning,
                stacklevel=2,
            )
        function(**named, **kwargs)  # type: ignore[call-arg]  # by the names that it has

    return wrapper


@_keywords_only
def init(
    *,
    endpoint: str | None = None,
    api_key: str | None = None,
    api_key_file: str | os.PathLike[str] | None = None,
    headers: Mapping[str, str] | None = None,
    service_name: str | None = None,
    project: str | None = None,
    purpose: str | None = None,
    capture: Capture | None = None,
    capture_content: bool | None = None,
    attachment_bytes: int | None = None,
    redact: Redact | Sequence[Redact] | None = None,
    redact_secrets: bool | None = None,
    redact_pii: bool | None = None,
    baggage_hosts: Sequence[str] | None = None,
    providers: Mapping[str, str] | None = None,
    sample_rate: float | None = None,
    rules: Sequence[SampleRule] | None = None,
    keep_slower_than: float | None = None,
    dashboard_url: str | None = None,
    http_spans: HttpSpans | None = None,
    logs: bool | None = None,
    logs_level: int | str | None = None,
    logs_per_second: int | None = None,
    certificate: str | os.PathLike[str] | None = None,
    client_certificate: str | os.PathLike[str] | None = None,
    client_key: str | os.PathLike[str] | None = None,
    resource_attributes: Mapping[str, str] | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    spool_bytes: int | None = None,
    schedule_delay: float | None = None,
    propagate_threads: bool | None = None,
    handle_sigterm: bool | None = None,
    disabled: bool | None = None,
    strict: bool | None = None,
) -> None:
    """Start tracing LLM calls of this process. Call it once, early; a second call changes nothing.

    Never raises and never waits for the network; what goes wrong is logged once by the logger "llmtrace"
    (raised when LLMTRACE_STRICT=1). An argument wins over `LLMTRACE_<ARGUMENT>`, which wins over `OTEL_*`.

    endpoint: the collector's base URL; default http://127.0.0.1:4318. A user and password in it are not sent.
    api_key: the project's key, sent as `Authorization: Bearer`.
    api_key_file: a file with the key, where `api_key` is not set; read anew when it changes. For tokens that
        are replaced while the program runs, as Kubernetes does.
    headers: further headers of export requests. Those of OpenTelemetry's variables go to the endpoint of its
        variables and no other.
    service_name: `service.name` of the spans; default unknown_service.
    project: the collector's project to file spans under; default its project `default`.
    purpose: what the calls are for: product, simulated, bench, replay, evaluation, judge or playground;
        default product. Reports, budgets and detection count `product` unless they are asked for others;
        `llmtrace.context(purpose=…)` says otherwise for a block.
    capture: how much content is recorded: "messages" (messages and tool definitions of calls, arguments and
        results of tools, queries of retrievals with ids and scores of what they found, and what a function
        asks to record itself), "all" (inputs and outputs of every observed function and agent, and the texts
        of retrieved documents, as well) or "none"; default messages. `llmtrace.context(capture=…)` says
        otherwise for a block, `capture=…` for a function.
    capture_content: the former form of `capture`, where that is not set: true is "messages", false is "none";
        default True.
    attachment_bytes: longest image or audio of a message whose bytes are sent too, so that the dashboard
        shows it; 0 sends none, 8388608 is the most; default 0. No pattern is searched for in them. Without
        them, size, media type and digest are recorded.
    redact: your function (or several), given each recorded text (a message, an argument, an error) on the
        background thread, returning what to record instead. A text it fails on is not recorded.
    redact_secrets: replace provider keys, JWTs, cloud keys and private keys in texts; default True.
    redact_pii: replace e-mail addresses, phone, card, IBAN and social security numbers and IP addresses;
        default False.
    baggage_hosts: hosts (also `*.example.org`) that requests may carry baggage to. In the variable they are
        separated by commas.
    providers: who answers at addresses of your own: a host (with port or the beginning of a path, where one
        is meant) and the provider of each. Hosts that nobody knows are the provider `unknown`, which has no
        list price: say here what stands behind a gateway. In the variable `llm.example.org=openai,
        gateway.example.org/azure=azure.ai.openai`.
    sample_rate: share of traces to send, 0 to 1; those with an error or a slow span are always sent; default
        1. Spans kept by chance have the attribute `llmtrace.sample.weight` (1/rate) to correct sums by.
    rules: other rates for some traces; the first `SampleRule` that matches counts.
    keep_slower_than: seconds from which a span is slow; default 10.
    dashboard_url: where `trace_url` points; default http://127.0.0.1:8501.
    http_spans: which HTTP calls of httpx and httpx2 get spans of their own: "other" (those that are not LLM
        calls), "all" or "none"; default other.
    logs: send the program's own log records, of `logging` and what stands on it, with the ids of the span
        that is active; default False. They are redacted as texts of spans are; `capture_content` does not
        concern them.
    logs_level: the least level that is sent, of those that the program's loggers let through; default INFO.
    logs_per_second: the most log records that are sent in a second, 0 for no limit; what is left out is
        counted; default 100.
    certificate: PEM file with the collector's certificate or its authority's, trusted besides what this
        machine trusts (or `SSL_CERT_FILE` and `SSL_CERT_DIR` name).
    client_certificate: PEM file to present where the collector demands client certificates.
    client_key: PEM file with its key; default in the client certificate's file.
    resource_attributes: further attributes of the resource.
    spool_dir: folder for batches that wait for the collector to return; "off" keeps nothing on disk; default
        `$XDG_CACHE_HOME/llmtrace/spool` or `~/.cache/llmtrace/spool`.
    spool_bytes: bound on that folder, for all processes and collectors together; default 268435456.
    schedule_delay: longest time, in seconds, that a finished span waits before it is sent; default 1.
        `OTEL_BSP_SCHEDULE_DELAY` is in milliseconds.
    propagate_threads: threads and tasks of thread pools have the trace, user, session and tags of who started
        them; default True. A thread has them while the span that it was started under is open.
    handle_sigterm: send what is there on SIGTERM, where the program leaves that signal to its default;
        default True.
    disabled: record nothing at all; default False.
    strict: raise the SDK's own failures instead of logging them once, for tests; default False.
    """
    arguments = dict(locals())
    with swallow("init (tracing stays off)"):
        lifecycle.start_once(arguments)
        if (runtime := lifecycle.current()) is not None:
            notebook.show_dashboard(runtime.config.dashboard_url)
