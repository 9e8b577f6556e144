"""Fine-tuning jobs: `POST …/fine_tuning/jobs`, `GET …/fine_tuning/jobs/{id}`, `GET …/fine_tuning/jobs`.

A job is billed for the tokens that it trained on. They count once, with the first look (or list) that finds
it over; that span, of the operation `fine_tuning`, has the job's file, its model and the resulting model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from opentelemetry.util.types import AttributeValue

from llmtrace import semconv
from llmtrace.wire import background_responses
from llmtrace.wire.format import (
    InnerCall,
    Json,
    Translation,
    WireFormat,
    between,
    either,
    items,
    mapping,
    put_int,
    put_text,
    whole,
    word,
)

from .shared import put_model

OPERATION: Final = "fine_tuning"
CREATE: Final = "create_fine_tuning_job"
_OVER: Final = frozenset({"succeeded", "success", "failed", "cancelled"})


def matches(path: str, body: bytes) -> bool:
    """By the end of the path and the files that every job has."""
    return path.endswith("/fine_tuning/jobs") and b'"training_file' in body


def request(body: Json, path: str, content: bool) -> Translation:
    """A new job: its model and its files."""
    translation = Translation()
    payload = mapping(body)
    put_model(translation.attributes, payload, path)
    _put_job(translation.attributes, payload)
    return translation


def request_fetch(body: Json, path: str, content: bool) -> Translation:
    """The path says which job."""
    translation = Translation()
    job = between(path, "/jobs/")
    put_text(translation.attributes, semconv.FINE_TUNING_JOB, job)
    put_text(translation.attributes, semconv.RESPONSE_ID, job)
    return translation


def request_list(body: Json, path: str, content: bool) -> Translation:
    """Nothing of a list's request says which jobs it will have."""
    return Translation()


def response_create(body: Json, content: bool) -> Translation:
    """A job that has only begun."""
    translation = Translation()
    _put_job(translation.attributes, mapping(body))
    return translation


def response(body: Json, content: bool) -> Translation:
    """A job to attributes; one that is over has counted what it trained on."""
    payload = mapping(body)
    translation = Translation()
    _put_job(translation.attributes, payload)
    if _is_billed(payload):
        translation.attributes[semconv.OPERATION_NAME] = OPERATION
        _put_usage(translation.attributes, payload)
    return translation


def response_list(body: Json, content: bool) -> Translation:
    """Of a list each job that is over is a call within, which counts as its own look would."""
    translation = Translation()
    for job in map(mapping, items(mapping(body).get("data"))):
        if _is_billed(job):
            attributes: dict[str, AttributeValue] = {}
            _put_job(attributes, job)
            _put_usage(attributes, job)
            translation.inner_calls.append(InnerCall("fine_tuning_job", OPERATION, attributes))
    return translation


def _is_billed(job: Any) -> bool:
    return word(job, "status").lower() in _OVER and type(job.get("trained_tokens")) is int


def _put_usage(attributes: dict[str, AttributeValue], job: Any) -> None:
    put_int(attributes, semconv.USAGE_TRAINED_TOKENS, job.get("trained_tokens"))
    attributes[semconv.RESPONSE_SERVICE_TIER] = semconv.TIER_TRAINING


def _put_job(attributes: dict[str, AttributeValue], job: Any) -> None:
    put_text(attributes, semconv.RESPONSE_ID, job.get("id"))
    put_text(attributes, semconv.FINE_TUNING_JOB, job.get("id"))
    put_text(attributes, semconv.REQUEST_MODEL, job.get("model"))
    put_text(attributes, semconv.RESPONSE_STATUS, word(job, "status").lower())
    put_text(attributes, semconv.FINE_TUNING_TRAINING_FILE, _file(job, "training_file"))
    put_text(attributes, semconv.FINE_TUNING_VALIDATION_FILE, _file(job, "validation_file"))
    put_text(attributes, semconv.FINE_TUNING_METHOD, mapping(job.get("method")).get("type"))
    put_text(attributes, semconv.FINE_TUNING_RESULT_MODEL, job.get("fine_tuned_model"))
    version = either(mapping(job.get("metadata")), "dataset_version", "dataset")
    put_text(attributes, semconv.FINE_TUNING_DATASET_VERSION, version)


def _file(job: Any, name: str) -> Json:
    """A file's id; Mistral has several, with a weight each."""
    several = [
        file if isinstance(file, str) else mapping(file).get("file_id") for file in items(job.get(f"{name}s"))
    ]
    names = [job.get(name), *several]
    return ",".join(name for name in names if isinstance(name, str))


def _matches_job(path: str, body: bytes) -> bool:
    return "/fine_tuning/jobs/" in path


def _matches_list(path: str, body: bytes) -> bool:
    return path.endswith("/fine_tuning/jobs")


FORMAT: Final = WireFormat(
    provider="openai",
    operation=CREATE,
    endings=("jobs",),
    matches=matches,
    request=request,
    response=response_create,
    fold=whole,
)
FETCH: Final = replace(
    FORMAT,
    operation=background_responses.FETCH,
    method="GET",
    matches=_matches_job,
    request=request_fetch,
    response=response,
    fetched_again=True,
)
LIST: Final = replace(
    FETCH,
    endings=("fine_tuning",),
    matches=_matches_list,
    request=request_list,
    response=response_list,
    fetched_again=False,
)
