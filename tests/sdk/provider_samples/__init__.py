"""Exchanges of the formats that single providers have, written after their references and their libraries."""

from __future__ import annotations

from tests.sdk.wire_samples import Sample

from . import aws, cohere, model_servers, more_providers, replicate, watsonx, workers_ai, writer

PROVIDER_SAMPLES: list[Sample] = [
    *cohere.SAMPLES,
    *model_servers.SAMPLES,
    *more_providers.SAMPLES,
    *writer.SAMPLES,
    *watsonx.SAMPLES,
    *replicate.SAMPLES,
    *aws.SAMPLES,
    *workers_ai.SAMPLES,
]
