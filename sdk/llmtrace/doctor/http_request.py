"""One HTTP request of a check, past any proxy. The base install has it: by the standard library alone."""

import urllib.error
import urllib.request
from dataclasses import dataclass

from llmtrace.common.tls import TlsFiles, certificate_problem

_BODY = 1 << 20


@dataclass(frozen=True)
class ExporterResponse:
    """What came back; of its body the first mebibyte."""

    status: int
    """0 where a certificate was refused; `reason` then says which, and what to do."""
    date: str | None
    reason: str
    body: bytes = b""


def send_request(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, tls: TlsFiles | None = None
) -> ExporterResponse | None:
    """One request without a proxy, answered in 3 s; None when nobody answers."""
    files = tls or TlsFiles()
    try:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=files.context())
        )
        request = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310 - the user's own
        with opener.open(request, timeout=3) as response:
            return ExporterResponse(response.status, response.headers.get("Date"), "", response.read(_BODY))
    except urllib.error.HTTPError as error:
        return ExporterResponse(error.code, error.headers.get("Date"), str(error.reason), error.read(_BODY))
    except (OSError, ValueError) as error:
        problem = certificate_problem(error, url, files)
        return None if problem is None else ExporterResponse(0, None, problem)
