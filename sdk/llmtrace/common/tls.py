"""The one TLS rule of our clients: which authorities they trust, which certificate they present, and what to
say when the other side's, or ours, is refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:  # slow to import, and few programs need it
    import ssl

_SUBJECT_SECONDS = 3.0

#: The last is httpx's, by name: nothing outside of the standard library is imported here.
_CLOSED = (
    "ConnectionResetError",
    "BrokenPipeError",
    "RemoteDisconnected",
    "SSLEOFError",
    "RemoteProtocolError",
)

_OURS_REFUSED = ("CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for a server's https.

    `certificate` is trusted besides what the machine trusts (or SSL_CERT_FILE names); `client_certificate`
    and `client_key` are presented where the server asks who calls. All unset: the machine's own authorities.
    """

    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None

    def completed(self, environ: Mapping[str, str], prefixes: Iterable[str] = ("LLMTRACE_",)) -> Self:
        """These files, those that are unset as the environment names them: `LLMTRACE_CERTIFICATE`, and
        `LLMTRACE_CLIENT_CERTIFICATE` with `LLMTRACE_CLIENT_KEY`, which come from one place.
        """
        trusted, client, key = self.certificate, self.client_certificate, self.client_key
        for prefix in prefixes:
            trusted = trusted or _path(environ.get(prefix + "CERTIFICATE"))
            if client is None and (client := _path(environ.get(prefix + "CLIENT_CERTIFICATE"))) is not None:
                key = _path(environ.get(prefix + "CLIENT_KEY"))
        return type(self)(trusted, client, key)

    def context(self) -> ssl.SSLContext:
        """A context for clients. Raises ValueError, naming the file, where one cannot be used."""
        import ssl

        context = ssl.create_default_context()
        if self.certificate is not None:
            try:
                context.load_verify_locations(cafile=self.certificate)
            except OSError as error:  # ssl.SSLError is one
                raise ValueError(f"certificate {self.certificate} cannot be used: {error}") from error
        if self.client_certificate is not None:
            try:
                context.load_cert_chain(self.client_certificate, self.client_key)
            except OSError as error:
                pair = f"client_certificate {self.client_certificate} with client_key {self.client_key}"
                raise ValueError(f"{pair} cannot be used: {error}") from error
        return context


def _path(name: str | None) -> Path | None:
    return Path(name).expanduser() if name else None


def certificate_problem(error: BaseException, url: str, files: TlsFiles) -> str | None:
    """What to say of a failed request to `url`: the certificate, the file and the remedy.

    None where the failure, or what caused it, is not about a certificate.
    """
    import ssl

    ours = "demands a client certificate: set `client_certificate` and `client_key`"
    if files.client_certificate is not None:
        ours = (
            f"refuses the client certificate {files.client_certificate}: take one that an authority in its "
            "list of client authorities signed"
        )
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            trusted = files.certificate or os.environ.get("SSL_CERT_FILE") or "this machine's authorities"
            reason = cause.verify_message.rstrip(".")
            remedy = (
                "use an address that the certificate names"
                if "match" in reason
                else "name its certificate, or its authority's, as `certificate`, or in SSL_CERT_FILE"
            )
            return (
                f"the certificate of {url}{_subject(url)} is refused ({reason}; trusted: {trusted}): {remedy}"
            )
        if isinstance(cause, ssl.SSLError) and any(word in (cause.reason or "") for word in _OURS_REFUSED):
            return f"{url} {ours}"
    # A server may close the connection so soon that its alert is never read.
    if url.startswith("https:") and any(type(cause).__name__ in _CLOSED for cause in _causes(error)):
        return f"{url} closed the connection without an answer; a server does that when it {ours}"
    return None


def _causes(error: object) -> Iterator[BaseException]:
    """The error and those behind it: its causes, and what urllib3 and requests carry inside their own."""
    if isinstance(error, BaseException):
        yield error
        for inner in (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args):
            yield from _causes(inner)


def _subject(url: str) -> str:
    """The subject of a server's certificate, in words; empty where it cannot be had."""
    import socket
    import ssl

    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 443)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Trusting what it presents is the way to have its fields read; nothing is sent over this connection.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        presented = ssl.get_server_certificate(address, timeout=_SUBJECT_SECONDS)
        context.load_verify_locations(cadata=presented)
        with (
            socket.create_connection(address, timeout=_SUBJECT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=address[0]) as channel,
        ):
            fields = channel.getpeercert() or {}
    except (OSError, ValueError):
        return ""
    subject: Any = fields.get("subject", ())
    names = [f"{name}={value}" for rdn in subject for name, value in rdn]
    return f" (subject {', '.join(names)})" if names else ""
