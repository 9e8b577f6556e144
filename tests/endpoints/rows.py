"""Every row of the table; a part of it is a module here and a line below."""

from __future__ import annotations

from typing import Final

from . import (
    aws_endpoints,
    batch_endpoints,
    chat_endpoints,
    fine_tuning_endpoints,
    grpc_endpoints,
    in_process_endpoints,
    input_endpoints,
    media_endpoints,
    not_covered,
    provider_endpoints,
    realtime_endpoints,
    search_endpoints,
)
from .endpoint import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *chat_endpoints.ENDPOINTS,
    *media_endpoints.ENDPOINTS,
    *fine_tuning_endpoints.ENDPOINTS,
    *batch_endpoints.ENDPOINTS,
    *realtime_endpoints.ENDPOINTS,
    *grpc_endpoints.ENDPOINTS,
    *in_process_endpoints.ENDPOINTS,
    *input_endpoints.ENDPOINTS,
    *provider_endpoints.ENDPOINTS,
    *aws_endpoints.ENDPOINTS,
    *search_endpoints.ENDPOINTS,
    *not_covered.ENDPOINTS,
)
