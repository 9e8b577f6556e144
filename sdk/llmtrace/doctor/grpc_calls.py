"""Whether calls over gRPC are traced: one by each of its clients (threads, asyncio), on loopback."""

from __future__ import annotations

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct

import llmtrace
from llmtrace import semconv
from llmtrace.testing import capture

from .result import Result
from .versions import installed_version

_METHOD: Final = "/xai_api.Chat/GetCompletion"
_SECONDS: Final = 10
_CLIENTS: Final = 2
#: No proxy of the environment, which knows nothing of this machine.
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)


def grpc_hook() -> Result:
    """Whether a call by each client became a span. Ends a running `init`."""
    version = f"grpcio {installed_version('grpcio') or '(version unknown)'}"
    name = "hook: grpc"
    with capture(strict=False, sample_rate=1.0) as captured:
        try:
            _call(importlib.import_module("grpc"))
        except Exception as error:  # noqa: BLE001  # whatever an unknown version of it raises
            detail = f"{version} cannot make a call: {type(error).__name__}: {error}"
            return Result(name, "fail", detail, "reinstall grpcio, or look for what patches it")
        spans = [
            span for span in captured.spans() if (span.attributes or {}).get(semconv.OPERATION_NAME) == "chat"
        ]
        statuses = llmtrace.stats().hooks
    if len(spans) == _CLIENTS:
        return Result(name, "ok", f"{version} is traced")
    failed = [f"{hooked}: {status.error}" for hooked, status in statuses.items() if status.error]
    reason = "; ".join(failed) or "a hook is not called: something imported or patched it another way"
    remedy = "another version of grpcio; please report this line"
    return Result(name, "fail", f"{version} is not traced ({reason})", remedy)


def _call(grpc: Any) -> None:
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    service, method = _METHOD.strip("/").split("/")
    request = Struct()
    request.update({"model": "doctor"})
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            with grpc.insecure_channel(target, options=_OPTIONS) as channel:
                _stub(channel)(request, timeout=_SECONDS)
            asyncio.run(_call_async(importlib.import_module("grpc.aio"), target, request))
        finally:
            server.stop(None).wait()


async def _call_async(aio: Any, target: str, request: Struct) -> None:
    async with aio.insecure_channel(target, options=_OPTIONS) as channel:
        await _stub(channel)(request, timeout=_SECONDS)


def _stub(channel: Any) -> Any:
    return channel.unary_unary(
        _METHOD, request_serializer=Struct.SerializeToString, response_deserializer=Struct.FromString
    )
