"""/v1/files and /v1/batches, in OpenAI's shapes. Each key sees its own files and batches, and no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO, Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from llmtrace_inference.access.auth import Caller
from llmtrace_inference.batches.service import BatchRequest, BatchService, ExpiresAfter
from llmtrace_inference.protocol.errors import ApiError, from_validation
from llmtrace_inference.settings import InferenceSettings

#: Says to the SDK of who reads a batch's output that its lines have left spans: read again, they count once.
TRACED_HEADER = "x-llmtrace-batch-results"

_FIELDS = {"file", "purpose", "expires_after[anchor]", "expires_after[seconds]"}


def file_routes(settings: InferenceSettings, service: BatchService, *, are_traced: bool) -> APIRouter:
    """`/v1/files`: POST uploads, GET lists, `{id}` GET and DELETE, `{id}/content` GET.

    are_traced: whether the lines of batches leave spans.
    """
    router = APIRouter(prefix="/v1/files")

    async def enter(request: Request) -> Caller:
        await service.open()
        caller: Caller = request.state.identity
        return caller

    @router.post("")
    async def upload(request: Request) -> Response:
        caller = await enter(request)
        form = await _form(request)
        try:
            file, expires_in = _checked(form, settings.max_file_bytes)
            content, size = cast("IO[bytes]", file.file), file.size or 0
            name = _base_name(file.filename or "")
            stored_file = await service.add_file(caller, name, content, size, expires_in)
        finally:
            await form.close()
        return JSONResponse(stored_file.body())

    @router.get("")
    async def list_files(request: Request) -> Response:
        caller = await enter(request)
        purpose = request.query_params.get("purpose")
        files = [f for f in service.files.list(caller.owner) if purpose in (None, f.purpose)]
        return _page(request, files, lambda f: f.id, lambda f: f.body(), most=10_000, usual=10_000)

    @router.get("/{file_id}")
    async def get_file(file_id: str, request: Request) -> Response:
        caller = await enter(request)
        return JSONResponse(service.files.get(file_id, caller.owner).body())

    @router.delete("/{file_id}")
    async def delete(file_id: str, request: Request) -> Response:
        caller = await enter(request)
        await service.remove_file(service.files.get(file_id, caller.owner))
        return JSONResponse({"id": file_id, "object": "file", "deleted": True})

    @router.get("/{file_id}/content")
    async def content(file_id: str, request: Request) -> Response:
        caller = await enter(request)
        file = service.files.get(file_id, caller.owner)
        # Somebody's text: never to be shown as a page of this server's.
        headers = {"X-Content-Type-Options": "nosniff", **({TRACED_HEADER: "traced"} if are_traced else {})}
        return FileResponse(service.files.path(file), media_type="application/octet-stream", headers=headers)

    return router


def batch_routes(service: BatchService) -> APIRouter:
    """`/v1/batches`: POST begins one, GET lists, `{id}` GET, `{id}/cancel` POST."""
    router = APIRouter(prefix="/v1/batches")

    async def enter(request: Request) -> Caller:
        await service.open()
        caller: Caller = request.state.identity
        return caller

    @router.post("")
    async def create(request: Request) -> Response:
        caller = await enter(request)
        try:
            wanted = BatchRequest.model_validate_json(await request.body())
        except ValidationError as error:
            raise from_validation(error) from error
        batch = await service.create(caller, wanted, request.headers.get("traceparent", "")[:128])
        return JSONResponse(batch.body())

    @router.get("")
    async def list_batches(request: Request) -> Response:
        caller = await enter(request)
        batches = service.list(caller)
        return _page(request, batches, lambda b: b.id, lambda b: b.body(), most=100, usual=20)

    @router.get("/{batch_id}")
    async def get_batch(batch_id: str, request: Request) -> Response:
        caller = await enter(request)
        return JSONResponse(service.get(caller, batch_id).body())

    @router.post("/{batch_id}/cancel")
    async def cancel(batch_id: str, request: Request) -> Response:
        caller = await enter(request)
        return JSONResponse((await service.cancel(caller, batch_id)).body())

    return router


async def _form(request: Request) -> FormData:
    """The fields of an upload; the file is spooled to disk as it comes. Raises ApiError 400."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise ApiError(400, "send the file as multipart/form-data", code="invalid_value", param="file")
    if "charset" in kind.lower():  # Python knows codecs that make half characters
        raise ApiError(400, "a form is UTF-8: leave the charset out", code="invalid_value")
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=8)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise ApiError(400, f"the form cannot be read: {error.message}", code="invalid_value") from error


def _base_name(filename: str) -> str:
    """A file's name, as it is shown: no folders, nothing that does not print. No file is named so here."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:255] or "file.jsonl"


def _checked(form: FormData, limit: int) -> tuple[UploadFile, int | None]:
    """The file and its lifetime in seconds, where one is asked for."""
    unknown = sorted(set(form) - _FIELDS)
    if unknown:
        raise ApiError(
            400,
            f"'{unknown[0]}' is not supported by this server: leave it out",
            code="unsupported_parameter",
            param=unknown[0],
        )
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise ApiError(400, "'file': a file is missing", code="invalid_value", param="file")
    if form.get("purpose") != "batch":
        raise ApiError(400, "'purpose': only batch is supported", code="invalid_value", param="purpose")
    if (file.size or 0) > limit:
        raise ApiError(413, f"the file is larger than {limit} bytes", code="request_too_large", param="file")
    if not file.size:
        raise ApiError(400, "'file': the file is empty", code="invalid_value", param="file")
    expiry = {key.partition("[")[2][:-1]: form[key] for key in form if key.startswith("expires_after[")}
    if not expiry:
        return file, None
    try:
        return file, ExpiresAfter.model_validate(expiry).seconds
    except ValidationError as error:
        refused = from_validation(error)
        refused.param = f"expires_after.{refused.param}"
        raise refused from error


def _page(
    request: Request,
    items: Sequence[Any],
    id_of: Callable[[Any], str],
    body: Callable[[Any], dict[str, Any]],
    *,
    most: int,
    usual: int,
) -> Response:
    """One page of a list given oldest first: `limit`, `order` (desc without it) and `after` as at OpenAI."""
    query = request.query_params
    limit = _whole_number(query.get("limit"), usual, most)
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(400, "'order': asc or desc", code="invalid_value", param="order")
    ordered = list(items)[::-1] if order == "desc" else list(items)
    after = query.get("after")
    if after is not None:
        at = next((i for i, item in enumerate(ordered) if id_of(item) == after), None)
        if at is None:
            raise ApiError(400, f"'after': there is no {after!r}", code="invalid_value", param="after")
        ordered = ordered[at + 1 :]
    page = ordered[:limit]
    return JSONResponse(
        {
            "object": "list",
            "data": [body(item) for item in page],
            "first_id": id_of(page[0]) if page else None,
            "last_id": id_of(page[-1]) if page else None,
            "has_more": len(ordered) > limit,
        }
    )


def _whole_number(text: str | None, usual: int, most: int) -> int:
    if text is None:
        return usual
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most:
        return int(text)
    raise ApiError(400, f"'limit': a number from 1 to {most}", code="invalid_value", param="limit")
