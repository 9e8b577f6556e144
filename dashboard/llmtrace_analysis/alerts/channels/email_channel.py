"""E-mail, by SMTP: plain text and HTML, the messages about an incident in one thread."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote, urlsplit

from llmtrace.common.tls import TlsFiles
from llmtrace_analysis.alerts.messages import AlertMessage, message_id_of

from .base import Outcome
from .http_sender import LONGEST_ERROR
from .redaction import redacted
from .texts import Content, content_of, fit, to_html
from .url_guard import AddressRefused, check_literal, resolve_host

_SUBJECT = 200
_PORTS = {"smtp": 587, "smtps": 465}
_LONGEST_HEAD = 16_384


def mail_of(message: AlertMessage, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """The event as a mail. Every mail about an incident refers to the one that said it was opened."""
    content = content_of(message)
    domain = sender.partition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = fit(content.headline, _SUBJECT)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = formatdate(message.at)
    mail["Message-ID"] = f"<{message.message_id}@{domain}>"
    if message.event != "incident.opened":
        first = f"<{message_id_of(message.incident.incident_id, 'incident.opened')}@{domain}>"
        mail["In-Reply-To"] = first
        mail["References"] = first
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(content))
    mail.add_alternative(_html(content), subtype="html")
    return mail


def _text(content: Content) -> str:
    facts = "\n".join(f"{name}: {value}" for name, value in content.facts)
    links = "\n".join(f"{name}: {url}" for name, url in content.links)
    return f"{content.headline}\n\n{content.summary}\n\n{facts}\n\n{links}\n"


def _html(content: Content) -> str:
    rows = "".join(
        f"<tr><td>{to_html(name)}</td><td>{to_html(value)}</td></tr>" for name, value in content.facts
    )
    links = "".join(f'<li><a href="{to_html(url)}">{to_html(name)}</a></li>' for name, url in content.links)
    return (
        f"<html><body><h3>{to_html(content.headline)}</h3><p>{to_html(content.summary)}</p>"
        f"<table>{rows}</table><ul>{links}</ul></body></html>"
    )


class EmailChannel:
    """Addresses that get mail by one SMTP server."""

    def __init__(
        self,
        name: str,
        label: str,
        events: Collection[str],
        *,
        url: str,
        sender: str,
        recipients: Sequence[str],
        username: str,
        password: str,
        allow_private: bool,
        allow_plain_text: bool,
        certificate: Path | None,
        proxy: str,
        secrets: Collection[str],
        timeout_seconds: float,
    ) -> None:
        """`url`: smtp:// (STARTTLS, unless `allow_plain_text`) or smtps://. Raises ValueError for a
        certificate that is unusable.
        """
        parts = urlsplit(url)
        self.url = name
        self.redacted_url = label
        self.events = events
        self.gone = False
        self.timeout_seconds = timeout_seconds
        self._host, self._is_tls = parts.hostname or "", parts.scheme == "smtps"
        self._port = parts.port or _PORTS[parts.scheme]
        self._sender, self._recipients = sender, recipients
        self._login = (username, password) if username else None
        self._allow_private, self._allow_plain_text = allow_private, allow_plain_text
        self._context = TlsFiles(certificate).context()
        self._proxy = proxy
        self._secrets = secrets

    def send(self, message: AlertMessage) -> Outcome:
        """Hand the mail to the server. 4xx means later, 5xx refuses it, a refused login all of them."""
        started = time.monotonic()
        outcome = self._outcome(mail_of(message, self._sender, self._recipients))
        return replace(
            outcome,
            error=redacted(outcome.error, self._secrets)[:LONGEST_ERROR],
            duration_ms=(time.monotonic() - started) * 1000,
        )

    def _outcome(self, mail: EmailMessage) -> Outcome:
        """In a thread, for the time of each step is no bound on all of them; at the deadline its socket is
        closed, which ends it.
        """
        attempt = _Attempt()

        def work() -> None:
            attempt.outcome = _judged(lambda: self._deliver(mail, attempt))

        thread = threading.Thread(target=work, name="llmtrace-smtp", daemon=True)
        thread.start()
        thread.join(self.timeout_seconds)
        if thread.is_alive() or attempt.outcome is None:
            attempt.end()
            return Outcome(
                ok=False, error=f"Timeout: the mail was not taken within {self.timeout_seconds:g} s"
            )
        return attempt.outcome

    def _deliver(self, mail: EmailMessage, attempt: _Attempt) -> None:
        connection = self._connected(attempt)
        server = _Smtp(connection, self._host, self.timeout_seconds, attempt)
        with _ended(server):
            if self._is_tls:
                server.wrap(self._context)
            server.greet()
            if not self._is_tls and (server.has_extn("starttls") or not self._allow_plain_text):
                server.starttls(context=self._context)
            if self._login is not None:
                server.login(*self._login)
            server.send_message(mail, self._sender, list(self._recipients))

    def _connected(self, attempt: _Attempt) -> socket.socket:
        """A connection to the server, or through the proxy."""
        if self._proxy:
            check_literal(self._host, self._allow_private)
            parts = urlsplit(self._proxy)
            connection = socket.create_connection(
                (parts.hostname or "", parts.port or 3128), self.timeout_seconds
            )
            attempt.sockets.append(connection)
            _through(connection, self._host, self._port, parts.username, parts.password)
            return connection
        address = resolve_host(self._host, self._port, self._allow_private)
        connection = socket.create_connection((address, self._port), self.timeout_seconds)
        attempt.sockets.append(connection)
        return connection


class _Attempt:
    """What an attempt holds open, for whoever ends it."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.outcome: Outcome | None = None

    def end(self) -> None:
        for connection in self.sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Smtp(smtplib.SMTP):
    """A client over a connection that is there already."""

    def __init__(self, connection: socket.socket, host: str, seconds: float, attempt: _Attempt) -> None:
        super().__init__(timeout=seconds)
        self.sock = connection
        self._host = host  # what STARTTLS checks the certificate by
        self._attempt = attempt

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from the start."""
        if self.sock is None:
            raise ConnectionError("the connection is closed")
        self.sock = context.wrap_socket(self.sock, server_hostname=self._host)
        self._attempt.sockets.append(self.sock)

    def greet(self) -> None:
        """Hear the server's greeting."""
        code, text = self.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        self.ehlo_or_helo_if_needed()


@contextmanager
def _ended(server: smtplib.SMTP) -> Iterator[None]:
    """Say goodbye in the end, and do not mind what becomes of that."""
    try:
        yield
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
        server.close()


def _through(connection: socket.socket, host: str, port: int, user: str | None, password: str | None) -> None:
    """Have a proxy connect to a host. Raises OSError where it does not."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if user:
        credentials = b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {credentials}")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    # Byte by byte: what follows the empty line is the server's.
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte or len(head) > _LONGEST_HEAD:
            raise OSError("the proxy closed the connection")
        head += byte
    status = head.split(b"\r\n", 1)[0].decode("ascii", errors="replace").split(" ")
    if len(status) < 2 or status[1] != "200":
        raise OSError(f"the proxy answered {' '.join(status[1:])[:100]}")


def _judged(deliver: Callable[[], None]) -> Outcome:
    """What became of a delivery, by the code that the server answered."""
    try:
        deliver()
    except smtplib.SMTPAuthenticationError as error:
        return _refused(error.smtp_code, error.smtp_error, final=True)
    except smtplib.SMTPRecipientsRefused as error:
        code, text = next(iter(error.recipients.values()))
        return _refused(code, text)
    except smtplib.SMTPResponseException as error:
        return _refused(error.smtp_code, error.smtp_error)
    except AddressRefused as error:
        return Outcome(ok=False, error=str(error), final=True)
    except smtplib.SMTPNotSupportedError:
        return Outcome(
            ok=False,
            error="the server offers no STARTTLS, or no login: use smtps://, or allow_plain_text within a "
            "network that you trust",
            final=True,
        )
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return Outcome(ok=False, error=f"{type(error).__name__}: {error}")
    return Outcome(ok=True, status=250)


def _refused(code: int, text: bytes | str, *, final: bool = False) -> Outcome:
    words = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else text
    return Outcome(
        ok=False,
        status=max(0, code),
        error=f"answered {code}: {' '.join(words.split())}",
        is_refusal=code >= 500 and not final,
        final=final,
    )
