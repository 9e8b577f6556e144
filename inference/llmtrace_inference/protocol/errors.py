"""Errors in OpenAI's shape: status, type, code and the field they are about."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

SHOULD_RETRY = "x-should-retry"
"""Header by which OpenAI's clients know that trying again cannot help, whatever the status."""

_MESSAGE_CHARACTERS = 1000
_PARAM_CHARACTERS = 200
"""What is told of a request's own words: a megabyte of a name is not sent back."""


class ApiError(Exception):
    """A request that is answered with an error. `code` is also the span's and the metrics' error.type."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after_seconds: int | None = None,
        retry_is_vain: bool = False,
    ) -> None:
        message = shortened(message, _MESSAGE_CHARACTERS)
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = shortened(param, _PARAM_CHARACTERS) if param is not None else None
        self.retry_after_seconds = retry_after_seconds
        self.retry_is_vain = retry_is_vain

    @property
    def type(self) -> str:
        """OpenAI's coarse class of the error."""
        if self.status == 401:
            return "authentication_error"
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def body(self) -> dict[str, Any]:
        """`{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        headers = {}
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(self.retry_after_seconds)
        if self.retry_is_vain:
            headers[SHOULD_RETRY] = "false"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers=headers)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis: at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def invalid_value(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """400 that names the field."""
    return ApiError(400, f"'{param}': {message}", code=code, param=param)


def from_validation(error: ValidationError) -> ApiError:
    """The first problem of a body that does not validate, naming the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    # Parts that name a member of a union ("str", "list[str]") are no part of the field's name.
    names = [str(part) for part in first["loc"]]
    param = ".".join(name for name in names if name not in ("str", "int") and "[" not in name) or None
    if first["type"] == "extra_forbidden":
        return ApiError(
            400,
            f"'{param}' is not supported by this server: leave it out",
            code="unsupported_parameter",
            param=param,
        )
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is not valid JSON: {first['msg']}", code="invalid_json")
    message = first["msg"].removeprefix("Value error, ")
    return ApiError(400, f"'{param}': {message}" if param else message, code="invalid_value", param=param)
