"""Webhooks, signed as Standard Webhooks (standardwebhooks.com) describe."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

import httpx
import standardwebhooks

from llmtrace_analysis.alerts.messages import AlertMessage
from llmtrace_analysis.settings import Webhook

from .base import Outcome
from .url_guard import AddressRefused, resolve

_USER_AGENT = "llmtrace-watch"


class WebhookChannel:
    """One receiver of signed messages."""

    def __init__(self, webhook: Webhook, *, allow_private: bool, timeout_seconds: float) -> None:
        """`allow_private`: whether the url may lead to a private address, whatever `webhook` says."""
        self.url = webhook.url
        self.events = webhook.events
        self.gone = False
        self._allow_private = webhook.allow_private or allow_private
        self._signer = standardwebhooks.Webhook(webhook.secret.get_secret_value())
        self._client = httpx.Client(timeout=timeout_seconds, follow_redirects=False, trust_env=False)

    @property
    def redacted_url(self) -> str:
        """The url without its query, which may hold a token."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, message: AlertMessage) -> Outcome:
        """POST the message, signed; redirects are not followed, and 410 disables the receiver."""
        started = time.monotonic()

        def elapsed_ms() -> float:
            return (time.monotonic() - started) * 1000

        try:
            request = self._request(message)
            # The answer's body is of no use and never read, however long it is.
            response = self._client.send(request, stream=True)
            response.close()
        except (AddressRefused, httpx.InvalidURL) as error:
            return Outcome(ok=False, error=str(error), final=True, duration_ms=elapsed_ms())
        except (httpx.HTTPError, OSError) as error:
            return Outcome(ok=False, error=f"{type(error).__name__}: {error}", duration_ms=elapsed_ms())
        status = response.status_code
        if response.is_success:
            return Outcome(ok=True, status=status, duration_ms=elapsed_ms())
        if status == httpx.codes.GONE:
            self.gone = True
        return Outcome(
            ok=False,
            status=status,
            error="redirects are not followed" if response.is_redirect else f"answered {status}",
            retry_after=_retry_after(response),
            final=status == httpx.codes.GONE,
            duration_ms=elapsed_ms(),
        )

    def _request(self, message: AlertMessage) -> httpx.Request:
        """The signed request to the address that was checked; name and certificate stay those of the url."""
        url = httpx.URL(self.url)
        address = resolve(url, self._allow_private)
        now = datetime.now(UTC)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            "webhook-id": message.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.message_id, now, message.body),
        }
        extensions = {"sni_hostname": url.host} if url.scheme == "https" else {}
        return self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=message.body.encode(),
            headers=headers,
            extensions={**extensions, "timeout": self._client.timeout.as_dict()},
        )


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header, given as such or as a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
