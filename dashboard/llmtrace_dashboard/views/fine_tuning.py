"""A fine-tuning job on a trace: from the job to the calls of its model, and from a call to its job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmtrace import semconv
from llmtrace_analysis.queries import fine_tuning
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.page_links import page_url, trace_url

#: Label → the attribute, and whether other spans are found by it.
_OF_JOB = {
    "Fine-tuning job": (semconv.FINE_TUNING_JOB, True),
    "Training file": (semconv.FINE_TUNING_TRAINING_FILE, True),
    "Validation file": (semconv.FINE_TUNING_VALIDATION_FILE, True),
    "Data set version": (semconv.FINE_TUNING_DATASET_VERSION, True),
    "Trained tokens": (semconv.USAGE_TRAINED_TOKENS, False),
    "Job's status": (semconv.RESPONSE_STATUS, False),
}


def facts(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a job's span says of it, or of which job a call's model came; nothing for other spans."""
    attributes = values["attributes"]
    if semconv.FINE_TUNING_JOB in attributes:
        return _facts_of_job(attributes)
    model = values["request_model"] or values["response_model"]
    if not values["is_llm"] or not fine_tuning.may_be_fine_tuned(model):
        return []
    job = load(fine_tuning.job_of, model)
    if job is None:
        return []
    listed = [
        {
            "label": "Fine-tuned by",
            "text": job.job,
            "mono": True,
            "href": trace_url(job.trace_id, job.span_id),
            "title": "The job that this model came of",
        }
    ]
    for label, name, text in (
        ("Training file", semconv.FINE_TUNING_TRAINING_FILE, job.training_file),
        ("Data set version", semconv.FINE_TUNING_DATASET_VERSION, job.dataset_version),
    ):
        if text:
            listed.append({"label": label, "text": text, "mono": True, "href": _search(name, text)})
    return listed


def _facts_of_job(attributes: Mapping[str, str]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    for label, (name, is_link) in _OF_JOB.items():
        if text := attributes.get(name):
            link = {"mono": True, "href": _search(name, text)} if is_link else {}
            listed.append({"label": label, "text": text, **link})
    if model := attributes.get(semconv.FINE_TUNING_RESULT_MODEL):
        listed.append(
            {
                "label": "Resulting model",
                "text": model,
                "href": page_url("/traces", model=model),
                "title": "Its calls",
            }
        )
    return listed


def _search(name: str, text: str) -> str:
    """The traces in which an attribute says the same."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return page_url("/traces", q=f'attr.{name}="{quoted}"')
