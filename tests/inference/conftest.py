"""One served pair of built-in models for the whole folder; loading them is the slow part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtrace_inference.serving.request import InferenceRequest
from llmtrace_inference.settings import InferenceSettings
from tests.inference.running import Running, serving


@pytest.fixture(scope="session", autouse=True)
def faults_are_loud() -> Iterator[None]:
    """What a request would only log of our own faults fails it here."""
    InferenceRequest.strict = True
    yield
    InferenceRequest.strict = False


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the built-in models are made, once."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def service(model_dir: Path) -> Iterator[Running]:
    """The service with both built-in models, real engines and spans in memory."""
    with serving(InferenceSettings(data_dir=model_dir)) as running:
        yield running
