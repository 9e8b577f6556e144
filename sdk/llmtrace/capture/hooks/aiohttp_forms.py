"""Forms that aiohttp sends: what writes one is handed a writer that notes what goes by."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from llmtrace.capture.streamed_request import StreamedBody
from llmtrace.wire import registry


def writer(module: ModuleType, method: str, path: str, data: Any) -> Any:
    """What aiohttp itself would write a multipart form with, made a little earlier; None for what is none, or
    for a path at which no form is a call.

    module: `aiohttp`.
    """
    if data is None or method.upper() != "POST" or registry.recognise_form(path) is None:
        return None
    if isinstance(data, module.MultipartWriter):
        return data
    if isinstance(data, Mapping) and any(isinstance(value, io.IOBase) for value in data.values()):
        data = module.FormData(data)
    if isinstance(data, module.FormData) and data.is_multipart:
        return data()
    return None


def note(form: Any, body: StreamedBody) -> None:
    """What `form` writes is noted in `body`, from its beginning each time."""
    write = form.write

    async def noted_write(stream: Any, *args: Any, **kwargs: Any) -> None:
        body.restart()
        await write(_Noted(stream, body), *args, **kwargs)

    form.write = noted_write


class _Noted:
    """A writer of aiohttp's that a form is written to."""

    def __init__(self, stream: Any, body: StreamedBody) -> None:
        self._stream = stream
        self._body = body

    async def write(self, chunk: Any, *args: Any, **kwargs: Any) -> None:
        self._body.add(chunk)
        await self._stream.write(chunk, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
