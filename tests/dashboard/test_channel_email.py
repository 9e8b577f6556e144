"""Mail, by a real SMTP server: in clear text, with STARTTLS, with TLS, with a login, through a proxy."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from llmtrace_analysis.alerts.channels.from_settings import channel_named
from llmtrace_analysis.settings import WatchSettings
from tests.collector.running import free_port

from .alert_receivers import ConnectProxy
from .test_channels import certificates, message, nothing_secret
from .test_webhook_outages import odd_server

__all__ = ["certificates"]


@dataclass
class Mailbox:
    """What the server took, or what it answers instead."""

    answer: str = "250 OK"
    mails: list[Any] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        self.recipients.append(envelope.rcpt_tos)
        return self.answer


@contextmanager
def smtp_server(mailbox: Mailbox, password: str = "", **options: Any) -> Iterator[int]:
    def authenticate(
        server: SMTP, session: object, envelope: object, mechanism: str, login: object
    ) -> AuthResult:
        success = isinstance(login, LoginPassword) and login.password == password.encode()
        return AuthResult(success=success, handled=success)

    if password:
        options |= {"authenticator": authenticate, "auth_required": True}
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def server_context(folder: Path, name: str = "server") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    return context


def send(url: str, event: str = "incident.opened", seconds: float = 5, **fields: Any) -> Any:
    row = {
        "name": "mail", "kind": "email", "url": url, "sender": "llmtrace@example.org",
        "recipients": ["ada@example.org", "bob@example.org"], "allow_private": True, **fields,
    }  # fmt: skip
    configured = WatchSettings.model_validate({"channels": [row], "webhook_timeout_seconds": seconds})
    return channel_named(configured, "mail").send(message(event))


def test_mails_about_an_incident_are_one_thread() -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        for event in ("incident.opened", "incident.acknowledged", "incident.resolved", "incident.resolved"):
            outcome = send(f"smtp://localhost:{port}", event, allow_plain_text=True)
            assert outcome.ok, outcome
            assert outcome.status == 250
    opened, acknowledged, resolved, again = mailbox.mails
    assert mailbox.recipients[0] == ["ada@example.org", "bob@example.org"]
    assert acknowledged["References"] == resolved["References"] == opened["Message-ID"]
    assert again["Message-ID"] == resolved["Message-ID"], "a repeat has the id of the original"
    assert resolved["Subject"].strip().startswith("Resolved (critical): Latency of gpt-4o-mini")


@pytest.mark.parametrize("through_proxy", [False, True])
@pytest.mark.parametrize("kind", ["smtp", "smtps"])
def test_encrypted_with_a_login(
    kind: str, through_proxy: bool, certificates: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password, mailbox = secrets.token_hex(20), Mailbox()
    context = server_context(certificates)
    options = (
        {"tls_context": context, "require_starttls": True}
        if kind == "smtp"
        else {"ssl_context": context, "auth_require_tls": False}
    )
    with (
        nothing_secret(password, caplog) as seen,
        smtp_server(mailbox, password, **options) as port,
        closing(ConnectProxy("p" * 20)) as proxy,
    ):
        way = {"proxy": proxy.url} if through_proxy else {}
        url, trusted = f"{kind}://localhost:{port}", certificates / "authority.pem"
        login: dict[str, Any] = {"username": "watch", "certificate": trusted, **way}
        seen.append(send(url, secret=password, **login))
        assert seen[0].ok, seen  # type: ignore[attr-defined]
        assert len(mailbox.mails) == 1
        assert proxy.connected == ([f"localhost:{port}"] if through_proxy else [])
        wrong = send(url, secret=password[::-1], **login)
        assert wrong.final
        assert "535" in wrong.error
        strange = send(url, secret=password, **{**login, "certificate": certificates / "stranger.pem"})
        assert "CERTIFICATE_VERIFY_FAILED" in strange.error
        assert len(mailbox.mails) == 1
        seen += [wrong, strange]


def test_no_password_and_no_mail_without_encryption() -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port:
        outcome = send(f"smtp://localhost:{port}")
    assert outcome.final
    assert "STARTTLS" in outcome.error
    assert not mailbox.mails


@pytest.mark.parametrize(("answer", "is_refusal"), [("451 later", False), ("554 never", True)])
def test_what_the_server_answers(answer: str, is_refusal: bool) -> None:
    mailbox = Mailbox(answer)
    with smtp_server(mailbox) as port:
        outcome = send(f"smtp://localhost:{port}", allow_plain_text=True)
    assert not outcome.ok
    assert outcome.status == int(answer[:3])
    assert outcome.is_refusal is is_refusal


def drips_a_greeting(connection: socket.socket) -> None:
    for byte in b"220-" + b"x" * 10_000:
        connection.send(bytes([byte]))
        time.sleep(0.05)


def test_a_server_that_is_down_slow_or_private() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port = unused.getsockname()[1]
    assert "refused" in send(f"smtp://127.0.0.1:{port}").error
    with odd_server(drips_a_greeting) as port:
        started = time.monotonic()
        outcome = send(f"smtp://127.0.0.1:{port}", seconds=0.5)
        assert time.monotonic() - started < 3
        assert "Timeout" in outcome.error
    outcome = send("smtp://127.0.0.1:25", allow_private=False)
    assert outcome.final
    assert "allow_private" in outcome.error
