"""Every row of the table; a part of it is a module here and a line below."""

from __future__ import annotations

from typing import Final

from . import chat_endpoints, grpc_endpoints, in_process_endpoints
from .endpoint import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *chat_endpoints.ENDPOINTS,
    *grpc_endpoints.ENDPOINTS,
    *in_process_endpoints.ENDPOINTS,
)
