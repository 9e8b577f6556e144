"""How far a batch is: `GET …/batches/{id}` of OpenAI's and Gemini's APIs, which their answers tell apart, and
`GET …/batch/jobs/{id}` of Mistral's.
"""

from __future__ import annotations

from typing import Final

from llmtrace.wire.batch_results import FETCH, BatchFormat
from llmtrace.wire.format import Json, Translation, WireFormat, whole

from . import gemini, openai


def matches(path: str, body: bytes) -> bool:
    """By the path alone, which may be another API's: the answer says whether it is a batch's."""
    head, _, _ = path.rpartition("/")
    return head.endswith(("/batches", "/batch/jobs")) and not head.endswith("/messages/batches")


def response(body: Json, content: bool) -> Translation:
    """A batch to attributes, nothing where it is none."""
    translation = openai.response(body, content)
    return translation if translation.attributes else gemini.response(body, content)


FORMAT: Final = WireFormat(
    provider="openai",
    operation=FETCH,
    endings=("batches", "jobs"),
    matches=matches,
    request=openai.request,
    response=response,
    fold=whole,
    method="GET",
    batch=BatchFormat(result=gemini.result, inlined=gemini.inlined),
)
