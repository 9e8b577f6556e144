"""Errors of the read endpoint as ClickHouse's clients read them."""

from __future__ import annotations

from collections.abc import Mapping

from llmtrace.common.http_limits.refusal import Refusal

#: ClickHouse's error codes for what the endpoint itself says.
SYNTAX_ERROR, ACCESS_DENIED, AUTHENTICATION_FAILED = 62, 497, 516
QUOTA_EXCEEDED, TOO_MANY_QUERIES, TOO_LARGE = 201, 202, 307

#: Their names, which @clickhouse/client looks for at the end of a message.
_NAMES = {
    SYNTAX_ERROR: "SYNTAX_ERROR",
    ACCESS_DENIED: "ACCESS_DENIED",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
    QUOTA_EXCEEDED: "QUOTA_EXCEEDED",
    TOO_MANY_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    TOO_LARGE: "TOO_MANY_BYTES",
}

_CODES = {401: AUTHENTICATION_FAILED, 413: TOO_LARGE, 429: QUOTA_EXCEEDED, 503: TOO_MANY_QUERIES}


def denial_answer(refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    """Headers and body of an answer to what may not pass."""
    message = "a valid read key is needed as the password" if refusal.status == 401 else str(refusal)
    return failure_answer(
        refusal.status, _CODES.get(refusal.status, ACCESS_DENIED), message, refusal.retry_after
    )


def failure_answer(
    status: int, code: int, message: str, retry_after: int | None = None
) -> tuple[Mapping[str, str], bytes]:
    """Headers and body of an error."""
    text = message
    if not message.startswith("Code: "):
        name = f" ({_NAMES[code]})" if code in _NAMES else ""
        text = f"Code: {code}. DB::Exception: {message}{name}"
    headers = {"content-type": "text/plain; charset=UTF-8", "X-ClickHouse-Exception-Code": str(code)}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="llmtrace"'
    return headers, f"{text}\n".encode()
