"""Whether each library of HTTP, WebSockets and gRPC that is here is traced, by a call on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import llmtrace
from llmtrace import semconv
from llmtrace.testing import Answer, ReplayServer, capture

from .grpc_calls import grpc_hook
from .realtime import websocket_hooks
from .result import Result
from .versions import installed_version

_PATH: Final = "/v1/chat/completions"
_REQUEST: Final = {"model": "doctor", "messages": [{"role": "user", "content": "Are you there?"}]}
_BODY: Final = json.dumps(_REQUEST).encode()
_HEADERS: Final = {"content-type": "application/json"}
_ANSWER: Final = {
    "id": "chatcmpl-doctor",
    "object": "chat.completion",
    "model": "doctor",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def _by_httpx(module: Any, url: str) -> None:
    with module.Client(trust_env=False) as client:
        client.post(url, content=_BODY, headers=_HEADERS)


def _by_requests(module: Any, url: str) -> None:
    with module.Session() as session:
        session.trust_env = False  # a proxy knows nothing of this machine
        session.post(url, data=_BODY, headers=_HEADERS, timeout=10)


def _by_urllib3(module: Any, url: str) -> None:
    with module.PoolManager() as pool:
        pool.request("POST", url, body=_BODY, headers=_HEADERS)


def _by_aiohttp(module: Any, url: str) -> None:
    async def post() -> None:
        async with (
            module.ClientSession() as session,
            session.post(url, data=_BODY, headers=_HEADERS) as response,
        ):
            await response.read()

    asyncio.run(post())


def _by_botocore(module: Any, url: str) -> None:
    from importlib import import_module

    prepared = import_module("botocore.awsrequest").AWSRequest("POST", url, dict(_HEADERS), _BODY).prepare()
    _ = import_module("botocore.httpsession").URLLib3Session().send(prepared).content


_CALLS: Final[dict[str, Callable[[Any, str], None]]] = {
    "httpx": _by_httpx,
    "httpx2": _by_httpx,
    "requests": _by_requests,
    "urllib3": _by_urllib3,
    "aiohttp": _by_aiohttp,
    "botocore": _by_botocore,
}


def hooks() -> Iterator[Result]:
    """For each library: whether a call through it became a span with its tokens. Ends a running `init`."""
    for library, call in _CALLS.items():
        if importlib.util.find_spec(library) is not None:
            yield _hook(library, call)
    yield from websocket_hooks()
    if importlib.util.find_spec("grpc") is not None:
        yield grpc_hook()


def _hook(library: str, call: Callable[[Any, str], None]) -> Result:
    name = f"hook: {library}"
    version = f"{library} {installed_version(library) or '(version unknown)'}"
    with ReplayServer(Answer.json(_ANSWER)) as server, capture(strict=False, sample_rate=1.0) as captured:
        try:
            call(importlib.import_module(library), server.url + _PATH)
        except Exception as error:  # noqa: BLE001  # whatever an unknown version of it raises
            detail = f"{version} cannot send a request: {type(error).__name__}: {error}"
            return Result(name, "fail", detail, f"reinstall {library}, or look for what patches it")
        spans = [
            span for span in captured.spans() if (span.attributes or {}).get(semconv.USAGE_INPUT_TOKENS) == 3
        ]
        statuses = llmtrace.stats().hooks
    if spans and len(server.requests) == 1 and "traceparent" in server.requests[0].headers:
        return Result(name, "ok", f"{version} is traced")
    failed = [f"{hooked}: {status.error}" for hooked, status in statuses.items() if status.error]
    reason = "; ".join(failed) or "its hook is not called: something imported or patched it another way"
    return Result(
        name,
        "fail",
        f"{version} is not traced ({reason})",
        f"another version of {library} or wrapt; please report this line",
    )
