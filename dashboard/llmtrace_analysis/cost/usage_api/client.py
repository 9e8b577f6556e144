"""One client for usage APIs: its key from the settings, a deadline, and retries that a provider asks for."""

from __future__ import annotations

import email.utils
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import sleep
from types import TracebackType
from typing import Any, Self

import httpx

from llmtrace.common.tls import certificate_problem
from llmtrace_analysis.billing_settings import BillingSource, KeyMissing

_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_MOST_TEXT = 200

Query = Sequence[tuple[str, str]]


class UsageApiUnavailable(Exception):
    """The provider cannot be asked now; the same question may be answered later."""


class UsageApiError(Exception):
    """The provider refuses, or answers something else; the message says what is needed."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class UsageApiClient:
    """Asks one provider. Its key is in no message and no log."""

    def __init__(self, source: BillingSource, progress: Callable[[str], object] = lambda text: None) -> None:
        """Raises UsageApiError without a key, or with a certificate that cannot be used."""
        self.url = source.effective_base_url
        self.progress = progress
        self._source = source
        try:
            self._key = source.find_key()
            headers = _headers(source.provider, self._key)
            # Proxies of the environment are for the world outside, which providers are.
            self._client = httpx.Client(
                base_url=self.url,
                timeout=_TIMEOUT_SECONDS,
                verify=source.tls_files().context(),
                headers=headers,
            )
        except (KeyMissing, ValueError) as error:
            raise UsageApiError(str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, query: Query = ()) -> dict[str, Any]:
        """The JSON object that a path answers. Raises UsageApiError or UsageApiUnavailable."""
        return self._send("GET", path, query)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The same for a question with a body."""
        return self._send("POST", path, (), body)

    def _send(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = self._client.request(method, path, params=tuple(query) or None, json=body)
            except httpx.TransportError as error:
                if problem := certificate_problem(error, self.url, self._source.tls_files()):
                    raise UsageApiError(problem) from error
                reason, asked = f"{type(error).__name__}: {self._without_key(str(error))}", None
            else:
                if response.status_code != 429 and response.status_code < 500:
                    return self._answer(response, path)
                reason, asked = f"it answers {response.status_code}", _retry_after(response.headers)
            if attempt == _ATTEMPTS:
                break
            usual = _FIRST_PAUSE * 2.0 ** (attempt - 1)
            pause = min(_LONGEST_PAUSE, usual if asked is None else asked)
            self.progress(f"{self.url}{path}: {reason}; again in {pause:.0f} s")
            sleep(pause)
        raise UsageApiUnavailable(f"{self.url}{path} cannot be asked after {_ATTEMPTS} attempts: {reason}")

    def _answer(self, response: httpx.Response, path: str) -> dict[str, Any]:
        status = response.status_code
        if status in (401, 403):
            # What it says may quote the key.
            raise UsageApiError(
                f"{self.url}{path} answers {status}: it wants {self._source.wanted_key}; "
                f"this one is from {self._source.key_origin}",
                status,
            )
        if not response.is_success:
            text = " ".join(self._without_key(response.text).split())[:_MOST_TEXT]
            raise UsageApiError(f"{self.url}{path} answers {status}: {text}", status)
        try:
            answer = response.json()
        except ValueError as error:
            raise UsageApiError(f"{self.url}{path} answers no JSON") from error
        if not isinstance(answer, dict):
            raise UsageApiError(f"{self.url}{path} answers no JSON object")
        return answer

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***")


def _headers(provider: str, key: str) -> dict[str, str]:
    if provider == "anthropic":
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}
    return {"Authorization": f"Bearer {key}"}


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that a provider asks to wait: `Retry-After`, or a header of Azure's that ends so."""
    asked = [_seconds(text) for name, text in headers.items() if name.lower().endswith("retry-after")]
    return max((seconds for seconds in asked if seconds is not None), default=None)


def _seconds(text: str) -> float | None:
    try:
        return max(0.0, float(text))
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
