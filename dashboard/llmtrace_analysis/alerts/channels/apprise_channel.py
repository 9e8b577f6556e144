"""Services that the library apprise reaches, each message by a process of its own.

The library is given proxies and authorities by the environment, follows redirects, and knows no deadline: a
process has its own environment, and an end.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

from llmtrace_analysis.alerts.messages import AlertMessage

from .base import Outcome
from .redaction import redacted
from .texts import content_of, fit

_TITLE, _BODY = 250, 8000
_NEEDED = "this needs the Python package 'apprise', which is not installed. " \
    "Install it with: pip install 'llmtrace[alerts]'"  # fmt: skip
_KINDS = {"incident.opened": "failure", "incident.acknowledged": "warning", "incident.resolved": "success"}
#: Reads a JSON object from standard input; ends with 0 when the service took the message, else 1, what the
#: library logged on standard error.
_PROGRAM = """
import json, logging, sys
import apprise
logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
wanted = json.load(sys.stdin)
sender = apprise.Apprise()
if not sender.add(wanted["url"]):
    sys.exit("apprise does not know this kind of url")
text = apprise.NotifyFormat.TEXT
sent = sender.notify(wanted["body"], wanted["title"], notify_type=wanted["kind"], body_format=text)
sys.exit(0 if sent else 1)
"""


class AppriseMissing(ValueError):
    """The library is not installed; the message says how to install it."""


class AppriseChannel:
    """A service that apprise knows, by its url."""

    def __init__(
        self,
        name: str,
        label: str,
        events: Collection[str],
        *,
        url: str,
        certificate: Path | None,
        proxy: str,
        secrets: Collection[str],
        timeout_seconds: float,
    ) -> None:
        """Raises AppriseMissing."""
        if importlib.util.find_spec("apprise") is None:
            raise AppriseMissing(f"channel {name}: {_NEEDED}")
        self.url = name
        self.redacted_url = label
        self.events = events
        self.gone = False
        self.timeout_seconds = timeout_seconds
        self._address, self._secrets = url, secrets
        self._environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        if proxy:
            self._environment.update({"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy})
        if certificate is not None:
            self._environment["REQUESTS_CA_BUNDLE"] = str(certificate)

    def send(self, message: AlertMessage) -> Outcome:
        """Have the library send it. It says whether it did, not why it did not: nothing is a refusal."""
        started = time.monotonic()
        content = content_of(message)
        lines = [content.summary, *(f"{name}: {value}" for name, value in (*content.facts, *content.links))]
        wanted = {
            "url": self._address,
            "title": fit(content.headline, _TITLE),
            "body": fit("\n".join(lines), _BODY),
            "kind": _KINDS[message.event],
        }
        try:
            process = subprocess.run(  # noqa: S603, the program is ours
                [sys.executable, "-P", "-c", _PROGRAM],
                input=json.dumps(wanted).encode(),
                env=self._environment,
                capture_output=True,
                timeout=self.timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            ok, error = False, f"Timeout: not sent within {self.timeout_seconds:g} s"
        except OSError as failure:
            ok, error = False, f"{type(failure).__name__}: {failure}"
        else:
            ok = process.returncode == 0
            output = " ".join(process.stderr.decode("utf-8", errors="replace").split())
            error = "" if ok else f"apprise: {redacted(output, self._secrets)[-300:] or 'not sent'}"
        return Outcome(
            ok=ok, error=redacted(error, self._secrets), duration_ms=(time.monotonic() - started) * 1000
        )
