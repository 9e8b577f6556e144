"""One POST of a batch, over TLS or not, and what happened to it."""

from __future__ import annotations

import math
import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from llmtrace.common.loopback import is_loopback
from llmtrace.common.tls import certificate_problem
from llmtrace.common.urls import printable

from .exporter import ExportResult
from .settings import DeliverySettings, Endpoint

# What OTLP/HTTP names retryable, and 408.
_RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
_UNAUTHORIZED: Final = 401


class HttpPoster:
    """Connections to the servers of the settings' endpoints. Used by one thread at a time."""

    def __init__(self, settings: DeliverySettings, headers: Mapping[str, str]) -> None:
        """`headers` go with every request, besides those of the settings."""
        self._use_proxies = settings.use_proxies
        self._settings = settings
        self._headers = headers
        self._sessions: dict[Endpoint, requests.Session] = {}

    def post(self, endpoint: Endpoint, payload: bytes, timeout: float) -> requests.Response | ExportResult:
        """The answer to one attempt of about `timeout` seconds, or a result that says why there is none.

        Never raises. No reason holds a header's text: it may be a key.
        """
        try:
            session = self._session(endpoint)
        except Exception as error:  # noqa: BLE001
            return ExportResult("retry", str(error), certificate_refused=isinstance(error, ValueError))
        try:
            headers = {**self._settings.headers_now(), **self._headers}
        except (OSError, ValueError) as error:  # the file is being replaced, or will be mended
            return ExportResult("retry", f"the key cannot be read: {error}")
        try:
            answer = session.post(
                endpoint.url, data=payload, headers=headers, timeout=timeout, allow_redirects=False
            )
        except (UnicodeError, requests.exceptions.InvalidHeader):
            return _unusable_header(headers)
        except requests.RequestException as error:
            problem = certificate_problem(error, endpoint.url, endpoint.tls)
            if problem is None:
                late = isinstance(error, requests.Timeout)
                return ExportResult("retry", _reason(error), timed_out=late)
            self.close()  # the next attempt reads the files again
            return ExportResult("retry", problem, certificate_refused=True)
        except Exception as error:  # noqa: BLE001  # no reason to lose the batch
            if isinstance(error, ValueError) and "header" in str(
                error
            ):  # which requests before 2.32 lets pass
                return _unusable_header(headers)
            return ExportResult("retry", type(error).__name__)
        if answer.status_code == _UNAUTHORIZED and self._settings.key_file is not None:
            # It has ended, and its successor is on the way: no reason to lose the batch.
            return ExportResult("retry", f"the key of api_key_file is refused: {answer.text[:200]}")
        return answer

    def close(self) -> None:
        """Release connections; a later post opens them again."""
        while self._sessions:
            self._sessions.popitem()[1].close()

    def _session(self, endpoint: Endpoint) -> requests.Session:
        """Connections to an endpoint's server. Raises ValueError where a certificate's file is unusable."""
        parts = urlsplit(endpoint.url)
        server = replace(endpoint, url=f"{parts.scheme}://{parts.netloc}")
        session = self._sessions.get(server)
        if session is None:
            session = requests.Session()
            if parts.scheme == "https":
                session.mount("https://", _TlsAdapter(endpoint.tls.context()))
            # A proxy named in the environment is not for this machine, and ~/.netrc must not replace our key.
            session.trust_env = self._use_proxies and not is_loopback(parts.hostname or "")
            session.auth = lambda request: request
            self._sessions[server] = session
        return session


class _TlsAdapter(HTTPAdapter):
    """Connects with a context of ours: requests itself takes file names, and trusts them alone."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **keywords: Any) -> None:
        super().init_poolmanager(*arguments, **keywords, ssl_context=self._context)

    def proxy_manager_for(self, proxy: str, **keywords: Any) -> Any:
        return super().proxy_manager_for(proxy, **keywords, ssl_context=self._context)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        # Without REQUESTS_CA_BUNDLE, whose authorities would be added to the context.
        return super().build_connection_pool_key_attributes(request, verify=True)

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """The context is complete: requests would add the authorities that it ships with."""


def _unusable_header(headers: Mapping[str, str]) -> ExportResult:
    return ExportResult("refused", f"a header cannot be sent: one of {', '.join(headers)}")


def failed_result(response: requests.Response) -> ExportResult:
    """What an answer that is no 2xx means: `retry`, or `refused` where the same bytes would be again."""
    detail = f"HTTP {response.status_code}: {response.text[:200]}"
    if response.status_code in _RETRYABLE:
        return ExportResult("retry", detail, retry_after=_retry_after(response.headers))
    return ExportResult("refused", detail)


def _reason(error: BaseException) -> str:
    """The innermost cause: requests and urllib3 wrap "Connection refused" three times over."""
    while (inner := getattr(error, "reason", None) or (error.args[0] if error.args else None)) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return printable(f"{type(error).__name__}: {error}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(seconds, 0.0), 30.0) if math.isfinite(seconds) else None
