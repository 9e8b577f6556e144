"""Why a model stopped, in the convention's words."""

from __future__ import annotations

from llmtrace.common.finish_reasons import FINISH_REASONS

from .format import Json


def finish_reason(reason: Json) -> str:
    """The convention's word; a reason it has no word for stays as it is, in lower case.

    `error` is also the word for "a reason was expected and none came".
    """
    if not isinstance(reason, str) or not reason:
        return "error"
    lower = reason.lower().replace("-", "_")
    return FINISH_REASONS.get(lower, lower)
