"""Webhooks, signed as Standard Webhooks (standardwebhooks.com) describe."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable
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

#: Client errors that are the receiver's state, not the message's: too slow, too early, too many.
_NOT_NOW = (408, 425, 429)


class WebhookChannel:
    """One receiver of signed messages."""

    def __init__(self, webhook: Webhook, *, allow_private: bool, timeout_seconds: float) -> None:
        """`allow_private`: whether the url may lead to a private address, whatever `webhook` says;
        `timeout_seconds`: deadline of a whole attempt, from the name's resolution to the end of the answer's
        headers.
        """
        self.url = webhook.url
        self.events = webhook.events
        self.gone = False
        self._allow_private = webhook.allow_private or allow_private
        self._signer = standardwebhooks.Webhook(webhook.secret.get_secret_value())
        self.timeout_seconds = timeout_seconds
        #: For the connection, and again for TLS.
        self._connect_seconds = timeout_seconds / 2
        self._tls = httpx.create_ssl_context(trust_env=False)

    @property
    def redacted_url(self) -> str:
        """The url without its query, which may hold a token."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    def send(self, message: AlertMessage) -> Outcome:
        """POST the message, signed; redirects are not followed, and 410 disables the receiver."""
        started = time.monotonic()

        def elapsed_ms() -> float:
            return (time.monotonic() - started) * 1000

        try:
            response = asyncio.run(self._answer(message))
        except TimeoutError:
            error = f"Timeout: no whole answer within {self.timeout_seconds:g} s"
            return Outcome(ok=False, error=error, duration_ms=elapsed_ms())
        except httpx.ConnectTimeout:
            error = f"Timeout: no connection, or no TLS, within {self._connect_seconds:g} s"
            return Outcome(ok=False, error=error, duration_ms=elapsed_ms())
        except (AddressRefused, httpx.InvalidURL) as error:
            return Outcome(ok=False, error=str(error), final=True, duration_ms=elapsed_ms())
        except (httpx.HTTPError, OSError) as error:
            reason = f"{type(error).__name__}: {_cause(error)}"
            return Outcome(ok=False, error=reason, duration_ms=elapsed_ms())
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
            is_refusal=response.is_client_error and status not in _NOT_NOW,
            duration_ms=elapsed_ms(),
        )

    async def _answer(self, message: AlertMessage) -> httpx.Response:
        """What the receiver answers. Every step is under one deadline: a receiver that sends a byte now and
        then would reset a timeout of each step for ever. Raises TimeoutError at the deadline.
        """
        async with asyncio.timeout(self.timeout_seconds):
            url = httpx.URL(self.url)
            address = await _in_thread(lambda: resolve(url, self._allow_private))
            async with httpx.AsyncClient(
                verify=self._tls,
                # The deadline is for all of it; of these two the client closes the socket when they end.
                timeout=httpx.Timeout(None, connect=self._connect_seconds),
                follow_redirects=False,
                trust_env=False,
            ) as client:
                # The answer's body is of no use and never read, however long it is.
                response = await client.send(self._request(message, url, address), stream=True)
                await response.aclose()
                return response

    def _request(self, message: AlertMessage, url: httpx.URL, address: str) -> httpx.Request:
        """The signed request to the address that was checked; name and certificate stay those of the url."""
        now = datetime.now(UTC)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            "webhook-id": message.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message.message_id, now, message.body),
        }
        return httpx.Request(
            "POST",
            url.copy_with(host=address),
            content=message.body.encode(),
            headers=headers,
            extensions={"sni_hostname": url.host} if url.scheme == "https" else {},
        )


async def _in_thread(call: Callable[[], str]) -> str:
    """What a call that cannot be interrupted returns. Its thread is left behind when this is cancelled: the
    system's resolver ends by itself, and nothing waits for it.
    """
    result: concurrent.futures.Future[str] = concurrent.futures.Future()

    def work() -> None:
        try:
            value = call()
        except Exception as error:  # noqa: BLE001, it is raised where the result is awaited
            if result.set_running_or_notify_cancel():
                result.set_exception(error)
        else:
            if result.set_running_or_notify_cancel():
                result.set_result(value)

    threading.Thread(target=work, name="llmtrace-resolve", daemon=True).start()
    return await asyncio.wrap_future(result)


def _cause(error: BaseException) -> BaseException:
    """What the system said in the end, which says more than the client does; else the error itself."""
    cause, following = error, error.__cause__ or error.__context__
    while following is not None:
        if isinstance(following, OSError):
            cause = following
        following = following.__cause__ or following.__context__
    return cause


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds of a Retry-After header, given as such or as a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None
