"""The one TLS rule of our clients: which authorities they trust, which certificate they present, and what to
say when the other side's, or ours, is refused."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from .certificates import first_certificate, read_certificates

if TYPE_CHECKING:  # slow to import, and few programs need it
    import ssl

_CONNECT_SECONDS = 3.0
_ALERT_SECONDS = 1.0
_MOST_CAUSES = 100

#: The last is httpx's, by name: nothing outside of the standard library is imported here.
_CLOSED = (
    "ConnectionResetError",
    "BrokenPipeError",
    "RemoteDisconnected",
    "SSLEOFError",
    "RemoteProtocolError",
)

_OURS_REFUSED = (
    "CERTIFICATE_REQUIRED",
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "HANDSHAKE_FAILURE",
)

_TRUST_IT = "name its certificate, or its authority's, as `certificate`, or in SSL_CERT_FILE"

#: By OpenSSL's code of what is wrong.
_REMEDIES = {
    9: "set this machine's clock, or wait until it is valid",
    10: "have it renewed there, or set this machine's clock",
    62: "use an address that it names",
    64: "use an address that it names",
}


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
        """A context for clients. Raises ValueError, naming the file and the remedy, where one is unusable."""
        import ssl

        context = ssl.create_default_context()
        _trust_somebody(context)
        if self.certificate is not None:
            _demand_readable("certificate", self.certificate)
            try:
                context.load_verify_locations(cafile=self.certificate)
            except ssl.SSLError as error:
                raise ValueError(
                    f"certificate {self.certificate} holds no certificate in PEM form ({error.reason}): name "
                    "a PEM file with the server's certificate, or its authority's"
                ) from error
        if self.client_certificate is not None:
            _load_client(context, self.client_certificate, self.client_key)
        return context


def _trust_somebody(context: ssl.SSLContext) -> None:
    """Some installations of Python, such as python.org's for macOS, come without a store of authorities.

    There the one that requests brings stands in; anywhere else it would widen what an operator trusts.
    """
    import ssl

    paths = ssl.get_default_verify_paths()
    named = os.environ.get(paths.openssl_cafile_env) or os.environ.get(paths.openssl_capath_env)
    if named or paths.cafile or paths.capath or context.cert_store_stats()["x509_ca"]:
        return
    with contextlib.suppress(ImportError):  # without it nobody is trusted, and the refusal says so
        import certifi

        context.load_verify_locations(cafile=certifi.where())


def _load_client(context: ssl.SSLContext, certificate: Path, client_key: Path | None) -> None:
    import ssl

    _demand_readable("client_certificate", certificate)
    if client_key is not None:
        _demand_readable("client_key", client_key)
    described = f"client_certificate {certificate}{_described(certificate)}"
    key = f"client_key {client_key}" if client_key is not None else "its key in the same file"
    try:
        # An empty password: without one the TLS library asks for it on the terminal.
        context.load_cert_chain(certificate, client_key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(
                f"{key} does not belong to {described}: name the key that it was made with"
            ) from error
        raise ValueError(
            f"{described} with {key} cannot be used ({error.reason or error}): both must be in PEM form, "
            "the key without a password"
        ) from error


def _demand_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(
            f"{name} {path} cannot be read ({error.strerror}): name a PEM file that this process may read"
        ) from error


def _described(path: Path | None) -> str:
    """In brackets, what the first certificate of a file says of itself; empty where it cannot be read."""
    certificate = None if path is None else first_certificate(path)
    return "" if certificate is None else f" ({certificate})"


def _path(name: str | None) -> Path | None:
    return Path(name).expanduser() if name else None


def certificate_problem(
    error: BaseException, url: str, files: TlsFiles, timeout: float = _CONNECT_SECONDS
) -> str | None:
    """What to say of a failed request to `url`: the certificate, the file and the remedy.

    None where the failure, or what caused it, is not about a certificate. It may connect again, to see what
    the server presents or demands, for at most `timeout` seconds.
    """
    import ssl

    ours = "demands a client certificate: set `client_certificate` and `client_key`"
    if files.client_certificate is not None:
        ours = (
            f"refuses the client certificate {files.client_certificate}"
            f"{_described(files.client_certificate)}: take one that an authority in its list of client "
            "authorities signed, and that is valid now"
        )
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            trusted = (
                f"{files.certificate}{_described(files.certificate)}"
                if files.certificate is not None
                else os.environ.get("SSL_CERT_FILE") or "this machine's authorities"
            )
            reason = cause.verify_message.rstrip(".")
            return (
                f"the certificate of {url}{_presented(url, timeout)} is refused "
                f"({reason}; trusted: {trusted}): "
                f"{_REMEDIES.get(cause.verify_code, _TRUST_IT)}"
            )
        if _refuses_ours(cause):
            return f"{url} {ours}"
    if url.startswith("https:") and any(type(cause).__name__ in _CLOSED for cause in _causes(error)):
        # What we had sent already may have cost us the alert that says why: the connection was reset.
        closing = _unasked_close(url, files, min(timeout, _ALERT_SECONDS))
        if _refuses_ours(closing):
            return f"{url} {ours}"
        if closing is not None:
            return f"{url} closes each connection unasked: nothing runs behind it, or it {ours}"
    return None


def _refuses_ours(error: BaseException | None) -> bool:
    """Whether this is a server's alert about the client certificate that it got, or did not get."""
    import ssl

    return isinstance(error, ssl.SSLError) and any(word in (error.reason or "") for word in _OURS_REFUSED)


def _unasked_close(url: str, files: TlsFiles, timeout: float) -> OSError | None:
    """How a server ends a connection on which nothing was sent; None where it waits to be asked.

    Who demands a certificate lets a handshake of TLS 1.3 finish, and ends the connection then.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    with contextlib.suppress(
        ValueError
    ):  # a file of ours became unusable meanwhile: the next attempt says so
        context = files.context()
        try:
            with (
                socket.create_connection((host, parts.port or 443), timeout) as plain,
                context.wrap_socket(plain, server_hostname=host) as connection,
            ):
                connection.recv(1)
                return ConnectionResetError("closed")
        except OSError as error:  # or it waits to be asked, or nobody is there
            return error if type(error).__name__ in _CLOSED or _refuses_ours(error) else None
    return None


def _causes(error: object) -> Iterator[BaseException]:
    """The error and those behind it: its causes, and what urllib3 and requests carry inside their own.

    No error twice, for chains may be cycles, and at most a hundred.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _MOST_CAUSES:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
            waiting += reversed(inner)


def _presented(url: str, timeout: float) -> str:
    """In brackets, what a server's certificate says of itself; empty where it cannot be had."""
    import ssl

    parts = urlsplit(url)
    try:
        # Nothing is sent over this connection, which trusts whoever answers.
        pem = ssl.get_server_certificate((parts.hostname or "", parts.port or 443), timeout=timeout)
        certificates = read_certificates(pem)
    except (OSError, ValueError):
        return ""
    return f" ({certificates[0]})" if certificates else ""
