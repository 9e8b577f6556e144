"""What is installed here, and whether it is what the SDK needs."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from typing import Final

import llmtrace

from .result import Result

#: Clients of providers and frameworks, whose calls go through the libraries that are hooked.
_CLIENTS: Final = (
    *("openai", "anthropic", "google-genai", "mistralai", "cohere", "groq", "ollama", "boto3", "aiobotocore"),
    *("huggingface-hub", "litellm", "langchain", "langgraph", "llama-index-core", "openai-agents"),
    *("pydantic-ai-slim", "crewai", "dspy", "haystack-ai", "autogen-agentchat", "semantic-kernel"),
)
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9][0-9a-zA-Z.]*)")


def installed_version(name: str) -> str | None:
    """The version of a distribution, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> Iterator[Result]:
    """Python, llmtrace and what it stands on, each with its version; then the clients that are here."""
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Result("python", "ok", f"{python}, {sys.prefix}")
    place = (llmtrace.__file__ or "").rpartition("/")[0]
    yield Result("llmtrace", "ok", f"{llmtrace.__version__} in {place}")
    for name, lowest in _required():
        installed = installed_version(name)
        mending = f"pip install '{name}>={lowest}'"
        if installed is None:
            yield Result(name, "fail", f"is not installed; llmtrace needs {lowest} or newer", mending)
        elif _order(installed) < _order(lowest):
            yield Result(name, "fail", f"{installed}; llmtrace needs {lowest} or newer", mending)
        else:
            yield Result(name, "ok", installed)
    clients = [f"{name} {version}" for name in _CLIENTS if (version := installed_version(name)) is not None]
    yield Result(
        "clients", "ok" if clients else "skip", ", ".join(clients) or "no client library is installed"
    )


def _required() -> list[tuple[str, str]]:
    """What the base install needs, with the lowest version of each."""
    try:
        requirements = importlib.metadata.requires("llmtrace") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder that was never installed
        requirements = [
            f"{name}>=0" for name in ("opentelemetry-api", "opentelemetry-sdk", "requests", "wrapt")
        ]
    matches = [_REQUIREMENT.match(text) for text in requirements if "extra ==" not in text]
    return [(match[1], match[2]) for match in matches if match is not None]


def _order(version: str) -> tuple[int, ...]:
    """For comparing; what follows the numbers (`b0`, `rc1`) counts for nothing, as zeros at the end do."""
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[a-z+]", version)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
