"""lm15, DSPy's way to providers, sync and async, plain, streamed and left early. Prints the spans.

with_lm15.py URL REQUEST
"""

from __future__ import annotations

import asyncio
import json
import sys

from lm15.transports import StdlibAsyncTransport, StdlibTransport, TransportRequest

from llmtrace.testing import capture

URL, REQUEST = sys.argv[1] + "/v1/chat/completions", json.loads(sys.argv[2])


def request(stream: bool) -> TransportRequest:
    body = json.dumps({**REQUEST, "stream": True} if stream else REQUEST).encode()
    return TransportRequest("POST", URL, [("Content-Type", "application/json")], body)


def ask() -> None:
    with StdlibTransport() as transport:
        for stream in (False, True):
            asked = request(stream)
            with transport.stream(asked) as response:
                assert b"chatcmpl-7" in response.read()
            assert asked.headers == [("Content-Type", "application/json")]
        with transport.stream(request(True)) as response:
            next(iter(response))
        with transport.stream(TransportRequest("GET", sys.argv[1] + "/tool")) as response:
            response.read()


async def ask_async() -> None:
    async with StdlibAsyncTransport() as transport:
        for stream in (False, True):
            async with transport.stream(request(stream)) as response:
                assert b"chatcmpl-7" in await response.read()


if __name__ == "__main__":
    with capture() as traces:
        ask()
        asyncio.run(ask_async())
        print(json.dumps(traces.snapshot()))
