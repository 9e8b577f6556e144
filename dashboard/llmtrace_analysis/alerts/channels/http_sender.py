"""A request to a receiver over http(s): a deadline, a checked address, no redirects; proxies, private CAs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from llmtrace.common.tls import TlsFiles

from .base import Outcome
from .redaction import redacted
from .url_guard import AddressRefused, check_literal, resolve

_USER_AGENT = "llmtrace-watch"
#: Of an answer's body; more says nothing more.
_LONGEST_ANSWER = 16_384

#: Cut once secrets are out of it, so that no half of any is left.
LONGEST_ERROR = 300

#: Client errors that are the receiver's state, not the message's: too slow, too early, too many.
_NOT_NOW = (408, 425, 429)


@dataclass(frozen=True)
class Answer:
    """What a receiver said."""

    status: int
    body: bytes = b""
    """Its beginning, where the sender reads bodies."""
    retry_after: float | None = None


Judge = Callable[[Answer], Outcome]


@dataclass(frozen=True)
class Request:
    """What to send; `headers` are added to those that every request has."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


def by_status(answer: Answer) -> Outcome:
    """What an answer means where its status says it: 2xx is success, 4xx refuses the message."""
    if 200 <= answer.status < 300:
        return Outcome(ok=True, status=answer.status)
    is_redirect = 300 <= answer.status < 400
    return Outcome(
        ok=False,
        status=answer.status,
        error="redirects are not followed" if is_redirect else f"answered {answer.status}",
        retry_after=answer.retry_after,
        is_refusal=400 <= answer.status < 500 and answer.status not in _NOT_NOW,
    )


class HttpSender:
    """Sends requests, each within one deadline; errors never hold a secret."""

    def __init__(
        self,
        *,
        allow_private: bool,
        timeout_seconds: float,
        certificate: Path | None = None,
        proxy: str = "",
        secrets: Collection[str] = (),
        reads_body: bool = True,
    ) -> None:
        """`certificate`: PEM file of an authority to trust besides this machine's; `proxy`: http:// address;
        `secrets`: what must not be in an error. Raises ValueError for a certificate that is unusable.
        """
        self.timeout_seconds = timeout_seconds
        #: For the connection, and again for TLS.
        self._connect_seconds = timeout_seconds / 2
        self._allow_private = allow_private
        self._secrets = tuple(secrets)
        self._reads_body = reads_body
        self._proxy = _proxy(proxy) if proxy else None
        self._tls = (
            httpx.create_ssl_context(trust_env=False)
            if certificate is None
            else TlsFiles(certificate).context()
        )

    def send(self, request: Request, judge: Judge = by_status) -> Outcome:
        """One attempt, and what became of it. Raises nothing for what receiver and network do."""
        started = time.monotonic()
        outcome = self._outcome(request, judge)
        return replace(
            outcome,
            error=redacted(outcome.error, self._secrets)[:LONGEST_ERROR],
            duration_ms=(time.monotonic() - started) * 1000,
        )

    def _outcome(self, request: Request, judge: Judge) -> Outcome:
        try:
            answer = asyncio.run(self._answer(request))
        except TimeoutError:
            return Outcome(ok=False, error=f"Timeout: no whole answer within {self.timeout_seconds:g} s")
        except httpx.ConnectTimeout:
            return Outcome(
                ok=False, error=f"Timeout: no connection, or no TLS, within {self._connect_seconds:g} s"
            )
        except (AddressRefused, httpx.InvalidURL) as error:
            return Outcome(ok=False, error=str(error), final=True)
        except (httpx.HTTPError, OSError) as error:
            return Outcome(ok=False, error=f"{type(error).__name__}: {_cause(error)}")
        return judge(answer)

    async def _answer(self, request: Request) -> Answer:
        """What the receiver answers. Every step is under one deadline: a receiver that sends a byte now and
        then would reset a timeout of each step for ever. Raises TimeoutError at the deadline.
        """
        async with asyncio.timeout(self.timeout_seconds):
            prepared = await self._prepared(request)
            # A transport of its own, no client: clients log every url, and urls may be secrets.
            transport = httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, proxy=self._proxy)
            async with transport:
                response = await transport.handle_async_request(prepared)
                try:
                    body = await self._body(response)
                finally:
                    await response.aclose()
                return Answer(response.status_code, body, _retry_after(response))

    async def _body(self, response: httpx.Response) -> bytes:
        body = b""
        if self._reads_body:
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) >= _LONGEST_ANSWER:
                    break
        return body[:_LONGEST_ANSWER]

    async def _prepared(self, request: Request) -> httpx.Request:
        """The request to the address that was checked; name and certificate stay those of the url."""
        url = httpx.URL(request.url)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            **request.headers,
        }
        # The deadline is for all of it; of these two the client closes the socket when they end.
        timeout = httpx.Timeout(None, connect=self._connect_seconds).as_dict()
        extensions: dict[str, object] = {"timeout": timeout}
        if self._proxy is not None:
            # The proxy resolves the name; what is no name is judged here.
            check_literal(url.host, self._allow_private)
        else:
            address = await in_thread(lambda: resolve(url, self._allow_private))
            if url.scheme == "https":
                extensions["sni_hostname"] = url.host
            url = url.copy_with(host=address)
        return httpx.Request(
            request.method, url, content=request.body, headers=headers, extensions=extensions
        )


async def in_thread(call: Callable[[], str]) -> str:
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


def _proxy(address: str) -> httpx.Proxy:
    parts = urlsplit(address)
    host = f"[{parts.hostname}]" if _is_ipv6(parts.hostname or "") else parts.hostname or ""
    netloc = f"{host}:{parts.port or 3128}"
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpx.Proxy(urlunsplit(("http", netloc, "", "", "")), auth=auth)


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


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
