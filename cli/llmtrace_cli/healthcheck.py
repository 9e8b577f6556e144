"""`python -m llmtrace_cli.healthcheck URL [CERTIFICATE KEY]`: exit 0 when URL answers 200, for containers
without curl. The two files are for a server that demands client certificates. The base install has it: by the
standard library alone."""

import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

from llmtrace.common.tls import TlsFiles


def healthy(url: str, timeout: float = 4.0, tls: TlsFiles | None = None) -> bool:
    """Whether a GET of `url`, past any proxy, gives 200 within `timeout` seconds.

    The certificate is not checked: nothing secret is sent, and it may name the machine as others know it.
    `tls`: what to present to a server that demands it. A file of it that cannot be used is no health either.
    """
    try:
        unchecked = (tls or TlsFiles()).context()
    except ValueError:
        return False
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unchecked)
    )
    try:
        with opener.open(url, timeout=timeout) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    url, *files = sys.argv[1:] or [""]
    presented = TlsFiles(None, *map(Path, files)) if len(files) == 2 else None
    sys.exit(0 if url and healthy(url, tls=presented) else 1)
