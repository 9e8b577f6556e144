"""The hook on `urllib.request`: what an opener does for one call, redirects included, is one request."""

from __future__ import annotations

import copy
import functools
import http.client
import urllib.error
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from llmtrace.capture import interceptor, streamed_request
from llmtrace.capture.call import CapturedRequest
from llmtrace.capture.runtime import Runtime
from llmtrace.internal_errors import swallow
from llmtrace.wire.format import UNDETERMINED

from .http_client_responses import received
from .plain_request import PlainRequest, address_of

_ANSWERED = swallow("noting an answer")


def hooks(module: ModuleType) -> Iterator[tuple[type, str, Callable[[Any], Any]]]:
    """(class, method, what wraps it)."""
    yield module.OpenerDirector, "open", lambda original: _open(original, module)


def _open(original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    @functools.wraps(original)
    def open(opener: Any, fullurl: Any, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        sent = interceptor.NOTHING
        with interceptor.BEGINNING:
            runtime = interceptor.recording()
            begun = None if runtime is None else _begin(module, runtime, fullurl, data)
            if begun is not None:
                sent, fullurl = begun
                data = None
        call = sent.call
        with sent:
            try:
                response = original(opener, fullurl, data, *args, **kwargs)
            except urllib.error.HTTPError as error:
                # An answer as well; its body is the program's to read, or not.
                sent.call = None
                with _ANSWERED:
                    if call is not None:
                        received(
                            call, error.fp if error.fp is not None else error, http.client, is_error=True
                        )
                raise
        with _ANSWERED:
            if call is not None:
                received(call, response, http.client)
        return response

    return open


def _begin(
    module: ModuleType, runtime: Runtime, target: Any, data: Any
) -> tuple[interceptor.SentRequest, Any] | None:
    """(what is sent, the request to open): a copy of the caller's, with the headers."""
    if isinstance(target, str):
        if data is None and "/" not in target.partition("://")[2]:
            return None
        request = module.Request(target, data)
    else:
        request = copy.copy(target)
        request.headers = dict(target.headers)
        request.unredirected_hdrs = dict(target.unredirected_hdrs)
        if data is not None:
            request.data = data
    if request.type not in {"http", "https"}:
        return None
    method, body = request.get_method(), request.data
    recognised = interceptor.recognised(method, request.full_url, body)
    streamed = None
    if recognised is None:
        path = interceptor.path_of(request.full_url)
        streamed = streamed_request.noted(body) if streamed_request.may_be_call(method, path) else None
        if streamed is None:
            return None
        request.data = streamed[0]
        recognised = UNDETERMINED, path, b""
    wire_format, path, content = recognised
    address = address_of(request.full_url)
    captured: CapturedRequest = PlainRequest(address, request.header_items(), path, content)
    if streamed is not None:
        captured = streamed_request.StreamedRequest(captured, streamed[1])
    return interceptor.begin(runtime, wire_format, captured, lambda: address[0], request.add_header), request
