"""What is said of certificates: the file, the subject and the remedy, and nothing is lost meanwhile."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import llmtrace
from llmtrace.common.certificates import read_certificates
from llmtrace.common.tls import TlsFiles, certificate_problem
from llmtrace.delivery import DeliverySettings, ExportResult, LogRecord, OtlpHttpExporter, tls_files
from tests.certificates import LOCAL, issue


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    certificates = tmp_path_factory.mktemp("tls")
    issue(certificates, "authority")
    issue(certificates, "stranger")
    issue(certificates, "server", LOCAL, signer="authority")
    issue(certificates, "elsewhere", "subjectAltName=DNS:elsewhere", signer="authority")
    issue(certificates, "expired", LOCAL, signer="authority", days=-1)
    issue(certificates, "client", "extendedKeyUsage=clientAuth", signer="authority")
    (certificates / "text.pem").write_text("no certificate")
    return certificates


class _Accepting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.requests += 1  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class _QuietServer(ThreadingHTTPServer):
    requests = 0

    def handle_error(self, *_: object) -> None:
        """A refused handshake is what is tested."""


@contextmanager
def _serving(folder: Path, name: str, client_authority: str = "") -> Iterator[_QuietServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    if client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / f"{client_authority}.pem")
    server = _QuietServer(("127.0.0.1", 0), _Accepting)
    # The handshake belongs to the request's own thread.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def _send(port: int, files: TlsFiles, host: str = "localhost") -> ExportResult:
    settings = DeliverySettings.for_collector(f"https://{host}:{port}", tls=files)
    exporter = OtlpHttpExporter(settings, Resource.get_empty(), InstrumentationScope("test"))
    result = exporter.send(exporter.pack_logs([LogRecord(1, "e", 0, 0, {})]), timeout=10)
    exporter.close()
    return result


_YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (
            "stranger",
            ["organizationName=Shop, commonName=stranger, issued by itself", "name its certificate"],
        ),
        (
            "elsewhere",
            ["commonName=elsewhere, issued by organizationName=Shop, commonName=authority", "names"],
        ),
        ("expired", ["commonName=expired", f"valid until {_YESTERDAY:%Y-%m-%d}", "have it renewed"]),
    ],
)
def test_a_server_that_is_not_trusted(folder: Path, server: str, words: list[str]) -> None:
    trusted = folder / "authority.pem"
    with _serving(folder, server) as collector:
        result = _send(collector.server_port, TlsFiles(trusted))
        assert collector.requests == 0
    assert (result.kind, result.certificate_refused) == ("retry", True)
    for word in [*words, f"trusted: {trusted} (subject organizationName=Shop, commonName=authority"]:
        assert word in result.detail
    assert "\n" not in result.detail


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("missing.pem", "", ""),
            ["certificate", "missing.pem cannot be read (No such file", "name a PEM file"],
        ),
        (("text.pem", "", ""), ["certificate", "text.pem holds no certificate in PEM form", "name a"]),
        (("authority.pem", "missing.pem", ""), ["client_certificate", "missing.pem cannot be read"]),
        (("authority.pem", "client.pem", "missing.pem"), ["client_key", "missing.pem cannot be read"]),
        (
            ("authority.pem", "client.pem", "server-key.pem"),
            ["server-key.pem does not belong to", "client.pem (subject", "commonName=client", "name the key"],
        ),
        (("authority.pem", "client.pem", ""), ["client.pem", "its key in the same file cannot be used"]),
        (("authority.pem", "text.pem", "text.pem"), ["text.pem", "must be in PEM form"]),
    ],
)
def test_files_that_cannot_be_used(folder: Path, names: tuple[str, str, str], words: list[str]) -> None:
    files = TlsFiles(*(folder / name if name else None for name in names))
    result = _send(1, files)
    assert (result.kind, result.certificate_refused) == ("retry", True)
    for word in words:
        assert word in result.detail


def test_a_server_that_demands_a_certificate(folder: Path) -> None:
    files = TlsFiles(folder / "authority.pem", folder / "client.pem", folder / "client-key.pem")
    foreign = TlsFiles(folder / "authority.pem", folder / "stranger.pem", folder / "stranger-key.pem")
    with _serving(folder, "server", client_authority="authority") as collector:
        assert _send(collector.server_port, files).kind == "acknowledged"
        without = _send(collector.server_port, TlsFiles(folder / "authority.pem"))
        refused = _send(collector.server_port, foreign)
        assert collector.requests == 1
    assert without.certificate_refused
    assert "demands a client certificate: set `client_certificate` and `client_key`" in without.detail
    assert refused.certificate_refused
    assert "stranger.pem (subject organizationName=Shop, commonName=stranger" in refused.detail
    both = folder / "both.pem"
    both.write_text("".join((folder / name).read_text() for name in ("client.pem", "client-key.pem")))
    with _serving(folder, "server", client_authority="authority") as collector:
        files = TlsFiles(folder / "authority.pem", both)
        assert _send(collector.server_port, files).kind == "acknowledged"


def _closing(folder: Path, after: int) -> socket.socket:
    """Closes each connection once it has read so many bytes; 0: right after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(after) if after else None

    threading.Thread(target=run, daemon=True).start()
    return listening


def test_a_dropped_connection_is_no_matter_of_certificates(folder: Path) -> None:
    with _closing(folder, after=100) as listening:
        result = _send(listening.getsockname()[1], TlsFiles(folder / "authority.pem"))
    assert (result.kind, result.certificate_refused) == ("retry", False)
    assert "certificate" not in result.detail
    with _closing(folder, after=0) as listening:
        result = _send(listening.getsockname()[1], TlsFiles(folder / "authority.pem"))
    assert "closes each connection unasked: nothing runs behind it, or it demands a client" in result.detail


def test_a_tangle_of_errors_is_seen_through() -> None:
    """Each is cause, context and argument of the one before, and the last leads back to the first."""
    first = error = OSError("first")
    for number in range(60):
        inner = OSError(number)
        error.__cause__ = error.__context__ = inner
        error.args = (inner, inner)
        error = inner
    refusal = ssl.SSLCertVerificationError("self-signed")
    refusal.verify_code, refusal.verify_message = 18, "self-signed certificate"
    error.args = (first, refusal)
    problem = certificate_problem(first, "http://127.0.0.1:9", TlsFiles(), timeout=0.1)
    assert problem is not None
    assert "self-signed certificate" in problem
    error.args = (first,)
    assert certificate_problem(first, "http://127.0.0.1:9", TlsFiles()) is None
    longest: list[BaseException] = [OSError()]
    for _ in range(100_000):
        longest.append(OSError(longest[-1]))
    assert certificate_problem(longest[-1], "http://127.0.0.1:9", TlsFiles()) is None


def test_the_question_for_a_budget_says_what_mends_it(folder: Path) -> None:
    with _serving(folder, "stranger") as collector:
        llmtrace.init(
            endpoint=f"https://localhost:{collector.server_port}", certificate=folder / "authority.pem"
        )
        check = llmtrace.check_budget("ann", timeout=5)
    assert (check.allowed, check.known) == (True, False)
    assert check.reason.startswith(f"the certificate of https://localhost:{collector.server_port}/v1/budget")
    assert f"trusted: {folder / 'authority.pem'} (subject" in check.reason
    assert "name its certificate, or its authority's, as `certificate`" in check.reason


def test_spans_wait_until_the_file_is_there(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is missing breaks nothing, is reported once, and is read again for each attempt."""
    trusted = tmp_path / "trusted.pem"
    with (
        _serving(folder, "server") as collector,
        caplog.at_level(logging.WARNING, "llmtrace"),
    ):
        llmtrace.init(endpoint=f"https://localhost:{collector.server_port}", certificate=trusted)
        llmtrace.score("good", 1)
        for _ in range(4):
            assert not llmtrace.flush(3)
        assert llmtrace.stats() == llmtrace.Stats(generated=1, spooled=1, logs=1)
        (warning,) = [
            text for text in map(logging.LogRecord.getMessage, caplog.records) if "certificate" in text
        ]
        assert f"certificate {trusted} cannot be read (No such file or directory)" in warning
        trusted.write_text((folder / "authority.pem").read_text())
        assert llmtrace.flush(10)
        assert llmtrace.stats() == llmtrace.Stats(generated=1, sent=1, logs=1)


def test_which_files_are_named() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "o.pem",
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE": "t.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "oc.pem",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": "ok.pem",
    }
    assert tls_files(environ) == TlsFiles(Path("t.pem"), Path("oc.pem"), Path("ok.pem"))
    assert tls_files(environ, "logs").certificate == Path("o.pem")
    environ |= {"LLMTRACE_CERTIFICATE": "l.pem", "LLMTRACE_CLIENT_CERTIFICATE": "lc.pem"}
    assert tls_files(environ) == TlsFiles(Path("l.pem"), Path("lc.pem")), "the key is in the same file"
    assert tls_files(environ, certificate="a.pem").certificate == Path("a.pem")


def test_ssl_cert_file_is_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
    with _serving(folder, "server") as collector:
        assert _send(collector.server_port, TlsFiles()).kind == "acknowledged"
    monkeypatch.delenv("SSL_CERT_FILE")
    with _serving(folder, "server") as collector:
        assert "this machine's authorities" in _send(collector.server_port, TlsFiles()).detail


def test_nothing_else_is_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the authorities that requests ships with, nor those of its own variable."""
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "stranger.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "authority.pem"))
    contexts: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def made() -> ssl.SSLContext:
        contexts.append(make())
        return contexts[-1]

    monkeypatch.setattr(ssl, "create_default_context", made)
    monkeypatch.setattr("llmtrace.delivery.http_post.is_loopback", lambda _: False)  # else no variable counts
    with _serving(folder, "server") as collector:
        refused = _send(collector.server_port, TlsFiles())
        assert refused.certificate_refused
        assert f"trusted: {folder / 'stranger.pem'}" in refused.detail
        assert _send(collector.server_port, TlsFiles(folder / "authority.pem")).kind == "acknowledged"
    assert [context.cert_store_stats()["x509_ca"] for context in contexts] == [1, 2]


def test_certificates_are_read_whole(folder: Path) -> None:
    two = (folder / "client.pem").read_text() + (folder / "authority.pem").read_text()
    client, authority = read_certificates(two)
    assert (
        client.issuer
        == authority.subject
        == authority.issuer
        == "organizationName=Shop, commonName=authority"
    )
    assert read_certificates("nothing") == []
    with pytest.raises(ValueError, match="cannot be read"):
        read_certificates("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")


def test_where_the_machine_knows_no_authority_those_of_requests_stand_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under an interpreter that came without a store; what an operator names is never widened."""
    nowhere: Any = None  # what Python says of places that are not there
    paths = ssl.get_default_verify_paths()._replace(cafile=nowhere, capath=nowhere)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    assert TlsFiles().context().cert_store_stats()["x509_ca"] > 100
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "absent.pem"))
    assert TlsFiles().context().cert_store_stats()["x509_ca"] == 0
