"""Optional parts: the one place that says what to install when one is missing."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import click

Extra = Literal["collector", "analysis", "dashboard", "inference", "safety", "all"]


MODULES_OF_ALL = ("pydantic_settings", "psutil", "rich", "mlflow.server", "openai")
"""Modules of the extra `all` that only the parts import; a missing one is better said before they start."""


@contextmanager
def needs(extra: Extra) -> Iterator[None]:
    """Guard imports that only `llmtrace[extra]` brings.

    Raises click.ClickException with the pip command when a third-party module is missing. A missing
    module of our own is a fault of the installation, not of the choice of extras, and passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing.startswith("llmtrace"):
            raise
        raise click.ClickException(
            f"this needs the Python package '{missing}', which is not installed. "
            f"Install it with: pip install 'llmtrace[{extra}]'"
        ) from error


def require_module(module: str) -> None:
    """Raise ModuleNotFoundError when `module` is not installed, without the time that importing it takes."""
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
