"""Where a sender of OTLP sends, what it trusts there, and its bounds.

Nothing here reads the environment by itself: `tls_files` is handed it by those who do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace.common.tls import TlsFiles
from llmtrace.common.urls import without_userinfo

from .key_file import KeyFile

Signal = Literal["traces", "logs", "metrics"]

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one signal goes: the full URL that is POSTed to.

    A user and password in it are left out: they are not sent, and the URL is printed.
    """

    url: str
    tls: TlsFiles = field(default_factory=TlsFiles)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", without_userinfo(self.url))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """Settings of delivery. Durations are seconds, sizes bytes."""

    endpoints: Mapping[Signal, Endpoint]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers of each export request (they hold the API key, so they are never printed)."""
    key_file: KeyFile | None = None
    """Where the API key is, when it is not among the headers."""
    resource_attributes: Mapping[str, str] = field(default_factory=dict)
    """Replace resource attributes of the same key on everything that is sent."""
    use_proxies: bool = True
    """Whether HTTPS_PROXY and its like apply; they never do for this machine itself."""
    schedule_delay: float = 1.0
    """Longest time a finished span waits before it is sent."""
    max_batch_items: int = 512
    max_batch_bytes: int = 4 * 2**20
    max_queue_items: int = 8192
    max_queue_bytes: int = 64 * 2**20
    """Beyond either bound new items are dropped and counted."""
    retry_for: float = 120.0
    """How long a batch is sent again before it is dropped, where no spool keeps it."""
    request_timeout: float = 10.0
    spool_dir: str = ""
    """Folder for batches that wait for the collector to return; empty for none."""
    spool_bytes: int = 256 * 2**20
    encryption_keys: EncryptionKeys | None = field(default=None, repr=False)
    """What the spool's files are encrypted with; None: nothing."""

    def headers_now(self) -> dict[str, str]:
        """The headers of a request that is made now.

        Raises OSError or ValueError where the key's file cannot be used.
        """
        if self.key_file is None:
            return dict(self.headers)
        return {"authorization": f"Bearer {self.key_file.read()}", **self.headers}

    @classmethod
    def for_collector(
        cls,
        url: str,
        *,
        tls: TlsFiles | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
        **more: Any,
    ) -> Self:
        """All signals to a collector's base URL, such as `https://collector:4318`.

        environ: where to look for the files that `tls` leaves open, as `tls_files` does. more: other fields.
        """
        base, tls = url.rstrip("/"), tls or TlsFiles()

        def endpoint(signal: Signal) -> Endpoint:
            files = tls_files(environ, signal, **asdict(tls))
            return Endpoint(url=f"{base}/v1/{signal}", tls=files)

        return cls(endpoints={signal: endpoint(signal) for signal in SIGNALS}, **more)


def tls_files(
    environ: Mapping[str, str],
    signal: Signal = "traces",
    *,
    certificate: str | os.PathLike[str] | None = None,
    client_certificate: str | os.PathLike[str] | None = None,
    client_key: str | os.PathLike[str] | None = None,
) -> TlsFiles:
    """The files of a signal's connection: those named by arguments, else by the environment.

    `LLMTRACE_CERTIFICATE` goes before `OTEL_EXPORTER_OTLP_<SIGNAL>_CERTIFICATE`, and that before
    `OTEL_EXPORTER_OTLP_CERTIFICATE`. Client certificate and key (`…_CLIENT_CERTIFICATE`, `…_CLIENT_KEY`) come
    from one place, the first that names a certificate. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace what the
    machine trusts, besides which the certificate is trusted; Python's ssl reads them by itself.
    """
    named = (
        Path(file).expanduser() if file else None for file in (certificate, client_certificate, client_key)
    )
    otel = "OTEL_EXPORTER_OTLP_"
    return TlsFiles(*named).completed(environ, ("LLMTRACE_", f"{otel}{signal.upper()}_", otel))
