"""The way to the collector: whether it answers, takes spans and agrees about the time."""

from __future__ import annotations

import email.utils
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from llmtrace.common.tls import TlsFiles

from .http_request import ExporterResponse, send_request
from .result import Result

LABEL: Final = "exporter"
_CLOCK_SKEW_SECONDS: Final = 5.0
#: Reasons of the collector's readiness for which it takes no spans, and what becomes of them.
_REFUSES_SPANS: Final = frozenset({"disk-full", "log-full"})
_WAITING: Final = "SDKs keep spans in their spool and send them again; make room, and it goes on by itself"


def ask(
    url: str,
    headers: Mapping[str, str],
    tls: TlsFiles,
    mending: Mapping[int, str],
    *,
    absent: Result | None = None,
) -> tuple[ExporterResponse | None, Result]:
    """Send an empty OTLP request to `url` (that of the spans), as applications would send theirs.

    mending: what to do about a status: 401 (403 too), 0 for a certificate that was refused. absent: what it
    means that nobody answers; None: that it is a failure.
    """
    response = send_request(url, b"", {"Content-Type": "application/x-protobuf", **headers}, tls)
    if response is None:
        failed = Result(
            LABEL, "fail", f"{url} cannot be reached", "start the collector, or mend the endpoint"
        )
        return None, absent or failed
    if not response.status:
        return None, Result(LABEL, "fail", response.reason, mending[0])
    if response.status == 200:
        # An empty request is accepted where none with spans would be.
        ready = send_request(url.removesuffix("/v1/traces") + "/health/ready", tls=tls)
        for code, text in (reasons_of(ready.body) if ready is not None else None) or ():
            if code in _REFUSES_SPANS:
                return response, Result(LABEL, "fail", f"{url} answers 503 to spans: {text}", _WAITING)
        return response, Result(LABEL, "ok", f"{url} accepts spans")
    if response.status in (401, 403):
        remedy = mending[401]
    elif response.status == 404:
        remedy = "the endpoint is the collector's base URL, without /v1/traces"
    else:
        remedy = "look at the collector's log"
    detail = f"{url} answers HTTP {response.status} {response.reason}".rstrip()
    return response, Result(LABEL, "fail", detail, remedy)


def reasons_of(body: bytes) -> list[tuple[str, str]] | None:
    """Code and text of each reason; None where that is no answer of our collector."""
    try:
        return [(str(item["code"]), str(item["text"])) for item in json.loads(body)["reasons"]]
    except (ValueError, KeyError, TypeError):
        return None


def clock(response: ExporterResponse | None) -> Result:
    """This machine's clock agrees with its disk's and, when it answered, with the collector's."""
    remedy = "synchronise the clock (systemd-timesyncd, chrony): spans are ordered and found by time"
    with tempfile.NamedTemporaryFile() as probe:
        by_disk = Path(probe.name).stat().st_mtime - time.time()
    if abs(by_disk) > _CLOCK_SKEW_SECONDS:
        return Result("clock", "fail", f"the file system is {by_disk:+.0f} s away", remedy)
    installed = Path(__file__).stat().st_mtime - time.time()
    if installed > _CLOCK_SKEW_SECONDS:
        return Result("clock", "fail", f"llmtrace was installed {installed:.0f} s in the future", remedy)
    date = response.date if response is not None else None
    if not date:
        return Result("clock", "ok", "agrees with the file system")
    skew = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    if abs(skew) > _CLOCK_SKEW_SECONDS:
        return Result("clock", "fail", f"the collector is {skew:+.0f} s away", remedy)
    return Result("clock", "ok", "agrees with the file system and the collector")
