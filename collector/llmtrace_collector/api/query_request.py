"""What a request to the read endpoint asks: its text, its parameters, and how it wants the answer."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from llmtrace_collector.sql_values import EncodedText
from llmtrace_collector.store.clients.client_settings import ClientRefused, judge
from llmtrace_collector.store.query_guard.refusal import QueryRefused
from llmtrace_collector.store.query_guard.safe_query import SafeQuery, check_format

#: A body, in bytes: a text, and a form's parameters (lists of ids).
_MAX_BODY = 4 << 20

#: Parameters of one query, and fields of a form.
_MAX_PARAMS = 1000

#: URL parameters that are no settings.
_NO_SETTINGS = frozenset("query database user password default_format compress".split())

_QUERY_ID = re.compile(r"[\w-]{1,100}", re.ASCII)

_PARAM = re.compile(r"\w{1,100}", re.ASCII)


@dataclass(frozen=True)
class QueryRequest:
    """One request, its settings judged."""

    text: str
    params: dict[str, EncodedText]
    query_id: str
    #: The format for a text that names none.
    default_format: str
    #: Whether the answer has to come in compressed frames.
    compressed: bool
    #: The protocol that the client speaks; 0 when it did not say.
    protocol: int

    def format_of(self, query: SafeQuery) -> str:
        """The format of the answer. Raises QueryRefused."""
        return query.format or check_format(self.default_format)


async def read_request(request: Request) -> QueryRequest:
    """Read the request. Raises QueryRefused, before it has read more than a body may hold."""
    pairs = list(request.query_params.multi_items())
    body = await _body(request, pairs) if request.method == "POST" else ""
    texts = [value for name, value in pairs if name == "query"]
    params: dict[str, EncodedText] = {}
    for name, value in pairs:
        if name.startswith("param_"):
            params[_param_name(name)] = EncodedText(_without_nul(value))
        elif name not in _NO_SETTINGS:
            judge_setting(name, value)
    if len(params) > _MAX_PARAMS:
        raise QueryRefused(f"more than {_MAX_PARAMS} parameters")
    options = dict(pairs)
    wanted = options.get("query_id", "")
    protocol = options.get("client_protocol_version", "")
    return QueryRequest(
        "\n".join(part for part in (*texts, body) if part.strip()).strip(),
        params,
        wanted if _QUERY_ID.fullmatch(wanted) else str(uuid.uuid4()),
        request.headers.get("x-clickhouse-format", options.get("default_format", "TabSeparated")),
        options.get("compress", "0") == "1",
        int(protocol) if protocol.isascii() and protocol.isdigit() and len(protocol) < 9 else 0,
    )


def judge_setting(name: str, value: str) -> None:
    """Return when a client's setting can be dropped without harm. Raises QueryRefused otherwise."""
    try:
        judge(name, value)
    except ClientRefused as error:
        raise QueryRefused(str(error)) from error


def _param_name(name: str) -> str:
    name = name.removeprefix("param_")
    if not _PARAM.fullmatch(name):
        raise QueryRefused(f"{name[:60]!r} is no name of a parameter")
    return name


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise QueryRefused("a parameter may not hold the character U+0000")
    return value


async def _body(request: Request, pairs: list[tuple[str, str]]) -> str:
    """The text in the body; a form's fields are added to `pairs`."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > _MAX_BODY:
        raise QueryRefused(f"the body is longer than {_MAX_BODY} bytes")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_BODY:
            raise QueryRefused(f"the body is longer than {_MAX_BODY} bytes")
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return data.decode(errors="replace")
    # How clickhouse-connect sends parameters that are too long for an address.
    pairs += [
        (name, await _field(value)) for name, value in (await _form(request, bytes(data))).multi_items()
    ]
    return ""


async def _form(request: Request, data: bytes) -> FormData:
    whole = Request(request.scope, _Body(data))
    try:
        return await whole.form(max_files=_MAX_PARAMS, max_fields=_MAX_PARAMS, max_part_size=_MAX_BODY)
    except HTTPException as error:
        raise QueryRefused(f"the body is no multipart form: {error.detail}") from error


async def _field(value: UploadFile | str) -> str:
    return value if isinstance(value, str) else (await value.read()).decode(errors="replace")


class _Body:
    """A body that was read already, as an application receives it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __call__(self) -> dict[str, object]:
        return {"type": "http.request", "body": self._data, "more_body": False}
