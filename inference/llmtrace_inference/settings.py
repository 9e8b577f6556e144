"""Settings of the inference service: one frozen object, passed in; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from llmtrace.common.loopback import is_loopback

# What was a setting and is none any more, with the reason; `FORMER_SETTINGS` tells those who still set it.
# What left no value stands there alone.

LOG_LEVEL: Final = "INFO"
"""Of the log, as of every part's: a part that is quieter than the others hides what explains theirs."""

SAMPLING_SEED: Final = 0
"""Seed of sampling where a request brings none. Who wants a draw repeated sends `seed` with the request."""

EMBEDDING_BATCH: Final = 32
"""Most texts in one pass of embeddings. More would make those that share a pass wait for each other."""


class KeySettings(BaseModel):
    """One API key, and how much its holder may do. Without a number there is no bound."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, description="What spans and logs call its holder.")
    key: SecretStr = Field(description="The key itself, sent as `Authorization: Bearer …`.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="Requests per minute.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Tokens per minute, prompts and answers together."
    )
    tokens_per_day: int | None = Field(default=None, ge=1, description="Tokens per day (UTC).")
    priority: int = Field(
        default=0, ge=-10, le=10, description="Added to its requests' priority; lower goes first."
    )


class InferenceSettings(BaseModel):
    """How the inference service listens, which models it serves, and the bounds it keeps."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    FORMER_SETTINGS: ClassVar[Mapping[str, str]] = {
        "log_level": f"the log is of level {LOG_LEVEL.lower()}, as that of every part",
        "seed": f"it is {SAMPLING_SEED}; a request that wants its draw repeated sends `seed`",
        "embedding_batch": f"a pass of embeddings takes up to {EMBEDDING_BATCH} texts",
        "export_patience_seconds": "spans wait on disk for the collector, within spool_bytes",
    }

    host: str = Field(
        default="127.0.0.1", description="Address to listen on. Anything but loopback needs api_keys or keys."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names, besides loopback's, that requests may be addressed to. Empty on another "
        "address than loopback: every one.",
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(),
        description='Origins of web pages that may call /v1, for instance "https://app.example.com". '
        "No other page may.",
    )
    open_metrics: bool = Field(
        default=False,
        description="Answer /metrics without a key on another address than loopback too.",
    )
    max_connections: int = Field(
        default=1024, ge=8, description="Connections at once; one more takes the place of an idle one."
    )
    api_keys: tuple[SecretStr, ...] = Field(
        default=(),
        description="Accepted `Authorization: Bearer …` keys, unbounded. None here and in keys: all pass.",
    )
    keys: tuple[KeySettings, ...] = Field(
        default=(), description="Further keys, each with a name and bounds of its own."
    )
    admin_key: SecretStr | None = Field(
        default=None, description="Bearer key of the admin endpoints; unset: they are off."
    )

    models: dict[str, str] = Field(
        default={"tiny-chat-s": "builtin:tiny-chat-s", "tiny-chat-m": "builtin:tiny-chat-m"},
        min_length=1,
        description=(
            "Served model name → where it is: `builtin:tiny-chat-s` or `builtin:tiny-chat-m` (ours, for the "
            "demo: they know a small web shop), a directory with a transformers model, or `hf:owner/name`."
        ),
    )
    data_dir: Path = Field(
        default=Path(".llmtrace/models"), description="Where the service keeps what must survive a restart."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto` takes CUDA where torch sees it, else the CPU."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Weights and KV cache type. `auto`: bfloat16 on CUDA, float32 on the CPU."
    )
    quantisation: Literal["none", "int8"] = Field(
        default="none",
        description="`int8`: weights of linear layers in 8 bits by torchao (llmtrace[quantisation]).",
    )
    threads: int = Field(default=1, ge=1, description="torch threads per operation on the CPU.")

    page_size: int = Field(default=16, ge=4, description="Tokens in one KV cache block.")
    num_blocks: int = Field(
        default=1024,
        ge=8,
        description="KV cache blocks per model: page_size × num_blocks tokens. Always bounded.",
    )
    max_kv_gb: float | None = Field(
        default=None,
        gt=0,
        description="Memory of each model's KV cache in GB, instead of num_blocks: as many as fit.",
    )
    max_batch_tokens: int = Field(
        default=512, ge=16, description="Tokens of one forward pass; longer prompts are prefilled in chunks."
    )
    max_batch_requests: int = Field(
        default=32, ge=1, description="Requests of one model that generate at once."
    )
    max_queue_requests: int = Field(
        default=64,
        ge=0,
        description="Requests of one model that may wait; one more gets a 503 with Retry-After.",
    )
    max_queue_tokens: int = Field(
        default=131_072,
        ge=1,
        description="Tokens (prompts and max_tokens) that may wait per model; beyond it a 503.",
    )
    breaker_faults: int = Field(
        default=3, ge=1, description="Engine faults within the window that open the circuit: 503 at once."
    )
    breaker_window_seconds: float = Field(
        default=60.0, gt=0, description="How far apart those faults may be."
    )
    breaker_pause_seconds: float = Field(
        default=5.0,
        gt=0,
        description="Wait of an open circuit before its probe; each that fails doubles it, up to 12 times.",
    )
    queue_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest wait for the first token's batch before a 503."
    )
    request_timeout_seconds: float = Field(
        default=300.0, gt=0, description="Longest time for one whole request before a 504."
    )
    drain_seconds: float = Field(
        default=1.5, ge=0, description="How long running requests may go on after the signal to stop."
    )
    default_max_tokens: int = Field(
        default=128, ge=1, description="Generated tokens where the request sets no max_tokens."
    )
    max_request_bytes: int = Field(
        default=1 << 20, ge=1024, description="Largest request body in bytes; a larger one gets a 413."
    )

    response_cache: Literal["off", "exact", "semantic"] = Field(
        default="off",
        description=(
            "Answer a request again from memory: `exact`, the very same one; `semantic`, also one whose last "
            "message is similar. Entries are per API key."
        ),
    )
    cache_entries: int = Field(default=1000, ge=1, description="Answers kept in the response cache.")
    cache_ttl_seconds: float = Field(default=3600.0, gt=0, description="How long an answer is kept.")
    cache_eviction: Literal["lru", "lfu", "fifo"] = Field(
        default="lru", description="Which answer makes room for a new one."
    )
    semantic_threshold: float = Field(
        default=0.92, gt=0, le=1, description="Least cosine similarity that counts as the same question."
    )
    semantic_embedder: str | None = Field(
        default=None,
        description="`module:function` from text to a vector; unset: hashed character trigrams.",
    )
    input_checks: tuple[str, ...] = Field(
        default=(), description="`module:function` content checks of prompts, see docs/inference.md."
    )
    output_checks: tuple[str, ...] = Field(
        default=(), description="`module:function` content checks of answers, sentence by sentence."
    )

    embedding_window_seconds: float = Field(
        default=0.003, ge=0, le=0.005, description="How long embeddings wait for others to share a pass."
    )

    batch_concurrency: int = Field(
        default=4, ge=1, description="Lines of batches in work at once; they wait behind all other requests."
    )
    max_batch_lines: int = Field(default=50_000, ge=1, description="Most lines of one batch.")
    max_open_batches: int = Field(
        default=20, ge=1, description="Batches of one key that may be under way; one more gets a 429."
    )
    max_file_bytes: int = Field(
        default=100 << 20, ge=1024, description="Largest uploaded file in bytes; a larger one gets a 413."
    )
    max_stored_bytes: int = Field(
        default=1 << 30, ge=1024, description="Bytes of files that one key may keep; beyond it a 413."
    )
    file_days: int = Field(
        default=30, ge=1, le=366, description="Days after which files and ended batches are deleted."
    )

    trace: bool = Field(default=True, description="Record and export spans.")
    trace_every_step: int = Field(
        default=100,
        ge=0,
        description="Every how manieth forward pass gets a span that its requests link to; 0: none.",
    )
    metrics_interval_seconds: float = Field(
        default=15.0, ge=0, description="With trace: how often metrics go to the collector too; 0: never."
    )
    otlp_endpoint: str = Field(
        default="http://127.0.0.1:4318", description="OTLP/HTTP base URL of the collector (no /v1/traces)."
    )
    otlp_api_key: SecretStr | None = Field(
        default=None,
        description="Bearer key for the collector, where it asks for one: of the role service, or what "
        "administrators do here waits on disk. Unset: [collector] service_key of the same settings.",
    )
    project: str | None = Field(
        default=None,
        description="Value of the resource attribute llmtrace.project; unset: the default project.",
    )
    capture: Literal["all", "messages", "none"] = Field(
        default="messages",
        description="How much content is on the spans: messages are prompts and answers (all is the same "
        "here), none leaves sizes, times and parameters.",
    )
    capture_content: bool | None = Field(
        default=None,
        description="The former form of capture, where that is not set: true is messages, false is none.",
    )
    span_queue_size: int = Field(
        default=32_768, ge=512, description="Spans that may wait in memory to be sent or kept on disk."
    )
    spool_bytes: int = Field(
        default=256 << 20,
        ge=0,
        description="Bytes of spans kept in data_dir/spool while the collector cannot be reached; 0: none.",
    )
    encryption_key_file: Path | None = Field(
        default=None,
        description="File with the keys that spans and audit rows are encrypted with while they wait in "
        "data_dir, as [collector] has it; unset: LLMTRACE_ENCRYPTION_KEY_FILE or LLMTRACE_ENCRYPTION_KEY, "
        "and nothing is encrypted without any.",
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file with the collector's certificate or its authority's, trusted besides this "
        "machine's. Unset: LLMTRACE_CERTIFICATE, OTEL_EXPORTER_OTLP_CERTIFICATE.",
    )
    client_certificate: Path | None = Field(
        default=None,
        description="PEM file to present where the collector demands client certificates. "
        "Unset: LLMTRACE_CLIENT_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE.",
    )
    client_key: Path | None = Field(
        default=None,
        description="PEM file with the client certificate's private key; unset: it is in the same file.",
    )

    @property
    def records_content(self) -> bool:
        """Whether prompts and answers are on the spans."""
        if self.capture_content is not None and "capture" not in self.model_fields_set:
            return self.capture_content
        return self.capture != "none"

    @model_validator(mode="after")
    def _keys_where_others_can_reach(self) -> InferenceSettings:
        if not is_loopback(self.host) and not self.api_keys and not self.keys:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, so api_keys must not be empty: "
                "set at least one key, or listen on 127.0.0.1"
            )
        return self

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or origin.rstrip("/") != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} is no origin: write it as https://app.example.com")
            if not parts.hostname or "*" in origin or "@" in origin:
                raise ValueError(f"{origin!r} names no single host: write each origin that may call")
        return origins

    @model_validator(mode="after")
    def _key_names_are_unique(self) -> InferenceSettings:
        names = [key.name for key in self.keys]
        if len(set(names)) < len(names):
            raise ValueError(f"two of the keys have the same name ({', '.join(names)}): give each its own")
        return self

    @model_validator(mode="after")
    def _kv_holds_a_batch(self) -> InferenceSettings:
        if self.max_kv_gb is None and self.default_max_tokens >= self.page_size * self.num_blocks:
            raise ValueError(
                f"default_max_tokens {self.default_max_tokens} does not fit the KV cache of page_size × "
                f"num_blocks = {self.page_size * self.num_blocks} tokens: raise num_blocks or lower it"
            )
        return self
