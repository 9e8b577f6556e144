"""The one TLS rule of our clients: which authorities they trust, which certificate they present, and what to
say when the other side's, or ours, is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:  # slow to import, and few programs need it
    import ssl

_SUBJECT_SECONDS = 3.0

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


def certificate_problem(error: BaseException, url: str, files: TlsFiles) -> str | None:
    """What to say of a failed request to `url`: the certificate, the file and the remedy.

    None where the failure, or what caused it, is not about a certificate.
    """
    import ssl

    cause = _ssl_error(error)
    if cause is None:
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        trusted = files.certificate or os.environ.get("SSL_CERT_FILE") or "this machine's authorities"
        reason = cause.verify_message.rstrip(".")
        remedy = (
            "use an address that the certificate names"
            if "match" in reason
            else "name its certificate, or its authority's, as `certificate`, or in SSL_CERT_FILE"
        )
        return f"the certificate of {url}{_subject(url)} is refused ({reason}; trusted: {trusted}): {remedy}"
    if any(word in (cause.reason or "") for word in _OURS_REFUSED):
        if files.client_certificate is None:
            return f"{url} demands a client certificate: set `client_certificate` and `client_key`"
        return (
            f"{url} refuses the client certificate {files.client_certificate} ({cause.reason}): take one "
            "that an authority in its list of client authorities signed"
        )
    return None


def _ssl_error(error: object) -> ssl.SSLError | None:
    """The error of the TLS library itself: as a cause, or inside those of urllib3 and requests."""
    import ssl

    if isinstance(error, ssl.SSLError) or not isinstance(error, BaseException):
        return error if isinstance(error, ssl.SSLError) else None
    inner = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
    return next((cause for item in inner if (cause := _ssl_error(item)) is not None), None)


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
    names = [f"{name}={value}" for rdn in fields.get("subject", ()) for name, value in rdn]
    return f" (subject {', '.join(names)})" if names else ""
