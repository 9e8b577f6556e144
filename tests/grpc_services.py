"""A server of gRPC on the loopback interface whose methods a test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc


@dataclass(frozen=True)
class Method:
    """One method. answer: (request, or an iterator of them; context) → the answer, or an iterator of them."""

    asked: Any
    answered: Any
    answer: Callable[[Any, Any], Any]
    streams_request: bool = False
    streams: bool = False

    def stub(self, channel: Any, path: str) -> Any:
        """What generated code makes of it."""
        kinds = {False: "unary", True: "stream"}
        make = getattr(channel, f"{kinds[self.streams_request]}_{kinds[self.streams]}")
        return make(
            path,
            request_serializer=self.asked.SerializeToString,
            response_deserializer=self.answered.FromString,
        )


@dataclass
class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Methods by path, and the metadata that came."""

    methods: Mapping[str, Method]
    metadata: list[dict[str, Any]] = field(default_factory=list)
    target: str = ""

    def service(self, details: Any) -> Any:
        """See grpc."""
        self.metadata.append(dict(details.invocation_metadata))
        method = self.methods.get(details.method)
        if method is None:
            return None
        kinds = {False: "unary", True: "stream"}
        make = getattr(grpc, f"{kinds[method.streams_request]}_{kinds[method.streams]}_rpc_method_handler")
        return make(
            method.answer,
            request_deserializer=method.asked.FromString,
            response_serializer=method.answered.SerializeToString,
        )

    def stub(self, channel: Any, path: str) -> Any:
        """The stub of one method."""
        return self.methods[path].stub(channel, path)


@contextmanager
def serving(methods: Mapping[str, Method]) -> Iterator[Service]:
    """A server for the time of the block; `target` is its address."""
    with ThreadPoolExecutor(8, thread_name_prefix="grpc-service") as threads:
        server = grpc.server(threads)
        service = Service(methods)
        server.add_generic_rpc_handlers((service,))
        service.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield service
        finally:
            server.stop(None).wait()
