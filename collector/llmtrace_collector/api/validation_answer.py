"""The answer to a body or parameter that is not as the route's description says."""

from __future__ import annotations

import json
from typing import cast

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError


def validation_answer(_: Request, error: Exception) -> Response:
    """A 422 that says where and why, and quotes nothing of what was sent: that may be no JSON (NaN, halves of
    characters), or long, or secret.
    """
    detail = [
        {name: part[name] for name in ("type", "loc", "msg")}
        for part in cast(RequestValidationError, error).errors()
    ]
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")
