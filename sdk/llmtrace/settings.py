"""The settings of the SDK, each declared once.

The arguments of `llmtrace.init`, the variables of the environment, what both may be and what is documented of
them follow from the fields of `InitSettings`: tests hold `init` and docs/sdk.md to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, Final, Literal

from . import semconv
from . import setting_values as values
from .setting_values import MAX_ATTACHMENT_BYTES, Reader
from .spans.capture_level import CAPTURES, Capture
from .spans.sampling import SampleRule

HttpSpans = Literal["other", "all", "none"]
DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4318"
DEFAULT_DASHBOARD: Final = "http://127.0.0.1:8501"

_KEY: Final = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of a field besides its name, type and default.

    help: what the documentation says; more: further sentences of it.
    default_in_words: the default, where the field's own says nothing.
    read: argument or text to value.
    variable: "read" where `LLMTRACE_<NAME>` sets it, "elsewhere" where that is read by others, else "none".
    otel: the variables of OpenTelemetry that are read where that one is not set, in order; None: by others.
    accepts: the type of the argument, where it is wider than the field's.
    blank: whether the empty text is a value.
    """

    help: str
    more: str = ""
    default_in_words: str | None = None
    read: Reader
    variable: Literal["read", "elsewhere", "none"] = "read"
    otel: Mapping[str, Reader | None] = field(default_factory=dict)
    accepts: str | None = None
    blank: bool = False


def _setting(default: Any, help: str, read: Reader, *, secret: bool = False, **more: Any) -> Any:
    """A field of `InitSettings`; see `Setting`. A secret is never printed."""
    setting = Setting(help=help, read=read, **more)
    if default == {}:
        return field(default_factory=dict, repr=not secret, metadata={_KEY: setting})
    return field(default=default, repr=not secret, metadata={_KEY: setting})


def _by_others(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


def _per_signal(name: str) -> dict[str, None]:
    """OTel's variables of an exporter: those of a signal go before the one for all."""
    return _by_others(*(f"OTEL_EXPORTER_OTLP_{signal}{name}" for signal in ("TRACES_", "LOGS_", "")))


@dataclass(frozen=True, slots=True, kw_only=True)
class InitSettings:
    """What may be set. Durations are seconds, sizes bytes."""

    endpoint: str | None = _setting(
        None,
        "the collector's base URL",
        values.url,
        more="A user and password in it are not sent.",
        default_in_words=DEFAULT_ENDPOINT,
        otel=_per_signal("ENDPOINT"),
    )
    api_key: str | None = _setting(
        None, "the project's key, sent as `Authorization: Bearer`", values.key, secret=True
    )
    api_key_file: str | None = _setting(
        None,
        "a file with the key, where `api_key` is not set; read anew when it changes",
        values.path,
        more="For tokens that are replaced while the program runs, as Kubernetes does.",
        accepts="str | os.PathLike[str]",
    )
    headers: Mapping[str, str] = _setting(
        {},
        "further headers of export requests",
        values.headers,
        more="Those of OpenTelemetry's variables go to the endpoint of its variables and no other.",
        secret=True,
        variable="none",
        otel=_by_others("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"),
    )
    service_name: str | None = _setting(
        None,
        "`service.name` of the spans",
        values.text,
        default_in_words="unknown_service",
        otel=_by_others("OTEL_SERVICE_NAME"),
    )
    project: str | None = _setting(
        None,
        "the collector's project to file spans under",
        values.text,
        default_in_words="its project `default`",
    )
    purpose: str | None = _setting(
        None,
        f"what the calls are for: {', '.join(semconv.PURPOSES[:-1])} or {semconv.PURPOSES[-1]}",
        values.one_of(*semconv.PURPOSES),
        more="Reports, budgets and detection count `product` unless they are asked for others; "
        "`llmtrace.context(purpose=…)` says otherwise for a block.",
        default_in_words="product",
    )
    capture: Capture = _setting(  # noqa: RUF009  # it gives a field
        "messages",
        'how much content is recorded: "messages" (messages and tool definitions of calls, arguments and '
        "results of tools, queries of retrievals with ids and scores of what they found, and what a function "
        'asks to record itself), "all" (inputs and outputs of every observed function and agent, and the '
        'texts of retrieved documents, as well) or "none"',
        values.one_of(*CAPTURES),
        more="`llmtrace.context(capture=…)` says otherwise for a block, `capture=…` for a function.",
    )
    capture_content: bool = _setting(
        True,
        'the former form of `capture`, where that is not set: true is "messages", false is "none"',
        values.flag,
    )
    attachment_bytes: int = _setting(
        0,
        "longest image or audio of a message whose bytes are sent too, so that the dashboard shows it; 0 "
        f"sends none, {MAX_ATTACHMENT_BYTES} is the most",
        values.attachment_size,
        more="No pattern is searched for in them. Without them, size, media type and digest are recorded.",
    )
    redact: tuple[Callable[[str], str], ...] = _setting(
        (),
        "your function (or several), given each recorded text (a message, an argument, an error) on the "
        "background thread, returning what to record instead",
        values.functions,
        more="A text it fails on is not recorded.",
        variable="none",
        accepts="Redact | Sequence[Redact]",
    )
    redact_secrets: bool = _setting(
        True, "replace provider keys, JWTs, cloud keys and private keys in texts", values.flag
    )
    redact_pii: bool = _setting(
        False,
        "replace e-mail addresses, phone, card, IBAN and social security numbers and IP addresses",
        values.flag,
    )
    baggage_hosts: tuple[str, ...] = _setting(
        (),
        "hosts (also `*.example.org`) that requests may carry baggage to",
        values.hosts,
        more="In the variable they are separated by commas.",
        accepts="Sequence[str]",
    )
    providers: Mapping[str, str] = _setting(
        {},
        "who answers at addresses of your own: a host (with port or the beginning of a path, where one is "
        "meant) and the provider of each",
        values.addresses,
        more="Hosts that nobody knows are the provider `unknown`, which has no list price: say here what "
        "stands behind a gateway. In the variable "
        "`llm.example.org=openai, gateway.example.org/azure=azure.ai.openai`.",
        accepts="Mapping[str, str]",
    )
    sample_rate: float = _setting(
        1.0,
        "share of traces to send, 0 to 1; those with an error or a slow span are always sent",
        values.share,
        more="Spans kept by chance have the attribute `llmtrace.sample.weight` (1/rate) to correct sums by.",
    )
    rules: tuple[SampleRule, ...] = _setting(
        (),
        "other rates for some traces; the first `SampleRule` that matches counts",
        values.rules,
        variable="none",
        accepts="Sequence[SampleRule]",
    )
    keep_slower_than: float = _setting(10.0, "seconds from which a span is slow", values.number)
    dashboard_url: str = _setting(DEFAULT_DASHBOARD, "where `trace_url` points", values.url)
    http_spans: HttpSpans = _setting(  # noqa: RUF009  # it gives a field
        "other",
        'which HTTP calls of httpx and httpx2 get spans of their own: "other" (those that are not LLM '
        'calls), "all" or "none"',
        values.one_of("other", "all", "none"),
    )
    logs: bool = _setting(
        False,
        "send the program's own log records, of `logging` and what stands on it, with the ids of the span "
        "that is active",
        values.flag,
        more="They are redacted as texts of spans are; `capture_content` does not concern them.",
    )
    logs_level: int = _setting(
        20,
        "the least level that is sent, of those that the program's loggers let through",
        values.log_level,
        default_in_words="INFO",
        accepts="int | str",
    )
    logs_per_second: int = _setting(
        100,
        "the most log records that are sent in a second, 0 for no limit; what is left out is counted",
        values.count,
    )
    certificate: str | None = _setting(
        None,
        "PEM file with the collector's certificate or its authority's, trusted besides what this machine "
        "trusts (or `SSL_CERT_FILE` and `SSL_CERT_DIR` name)",
        values.path,
        variable="elsewhere",
        otel=_per_signal("CERTIFICATE"),
        accepts="str | os.PathLike[str]",
    )
    client_certificate: str | None = _setting(
        None,
        "PEM file to present where the collector demands client certificates",
        values.path,
        variable="elsewhere",
        otel=_per_signal("CLIENT_CERTIFICATE"),
        accepts="str | os.PathLike[str]",
    )
    client_key: str | None = _setting(
        None,
        "PEM file with its key",
        values.path,
        default_in_words="in the client certificate's file",
        variable="elsewhere",
        otel=_per_signal("CLIENT_KEY"),
        accepts="str | os.PathLike[str]",
    )
    resource_attributes: Mapping[str, str] = _setting(
        {},
        "further attributes of the resource",
        values.mapping,
        variable="none",
        otel=_by_others("OTEL_RESOURCE_ATTRIBUTES"),
    )
    spool_dir: str | None = _setting(
        None,
        'folder for batches that wait for the collector to return; "off" keeps nothing on disk',
        values.path,
        default_in_words="`$XDG_CACHE_HOME/llmtrace/spool` or `~/.cache/llmtrace/spool`",
        accepts="str | os.PathLike[str]",
        blank=True,
    )
    spool_bytes: int = _setting(
        256 * 2**20, "bound on that folder, for all processes and collectors together", values.count
    )
    schedule_delay: float = _setting(
        1.0,
        "longest time, in seconds, that a finished span waits before it is sent",
        values.seconds,
        more="`OTEL_BSP_SCHEDULE_DELAY` is in milliseconds.",
        otel={"OTEL_BSP_SCHEDULE_DELAY": values.milliseconds},
    )
    propagate_threads: bool = _setting(
        True,
        "threads and tasks of thread pools have the trace, user, session and tags of who started them",
        values.flag,
        more="A thread has them while the span that it was started under is open.",
    )
    handle_sigterm: bool = _setting(
        True,
        "send what is there on SIGTERM, where the program leaves that signal to its default",
        values.flag,
    )
    disabled: bool = _setting(
        False, "record nothing at all", values.flag, otel={"OTEL_SDK_DISABLED": values.flag}
    )
    strict: bool = _setting(
        False, "raise the SDK's own failures instead of logging them once, for tests", values.flag
    )


@cache
def settings() -> dict[str, tuple[Field[Any], Setting]]:
    """Every setting by its name, in the order of the documentation."""
    return {item.name: (item, item.metadata[_KEY]) for item in fields(InitSettings)}


def own_variable(name: str) -> str:
    """The variable of the environment that sets what the argument `name` does."""
    return f"LLMTRACE_{name.upper()}"


def value(name: str, argument: Any, environ: Mapping[str, str], otherwise: Any = None) -> Any:
    """The value of a setting: of the argument, else of the first variable that is set, else `otherwise`.

    ConfigError for one that cannot be used.
    """
    for source, candidate, reader in _candidates(name, argument, environ):
        if reader is not None:
            return reader(source, candidate)
    return otherwise


def source_of(name: str, environ: Mapping[str, str]) -> str:
    """The variable that sets it where no argument does, those that others read included; empty for none."""
    _, setting = settings()[name]
    if setting.variable == "elsewhere" and environ.get(own_variable(name)):
        return own_variable(name)
    return next((source for source, _, _ in _candidates(name, None, environ)), "")


def _candidates(
    name: str, argument: Any, environ: Mapping[str, str]
) -> Iterator[tuple[str, Any, Reader | None]]:
    """What sets it, first what counts, each with its name and reader."""
    _, setting = settings()[name]
    sources: list[tuple[str, Any, Reader | None]] = [(name, argument, setting.read)]
    if setting.variable == "read":
        sources.append((own_variable(name), environ.get(own_variable(name)), setting.read))
    sources += [(variable, environ.get(variable), reader) for variable, reader in setting.otel.items()]
    for source, candidate, reader in sources:
        blank = isinstance(candidate, str) and not candidate.strip()
        if candidate is not None and (setting.blank or not blank):
            yield source, candidate, reader


def read(arguments: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The values of all that are set, by name: see `value`. TypeError for an argument that is no setting."""
    declared = settings()
    if unknown := arguments.keys() - declared.keys():
        raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
    unset = object()
    chosen = {name: value(name, arguments.get(name), environ, unset) for name in declared}
    return {name: setting for name, setting in chosen.items() if setting is not unset}
