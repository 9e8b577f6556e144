"""Functions of the operator's own that settings name: `module:name`."""

from __future__ import annotations

import importlib
from collections.abc import Callable


def load_callable(path: str, setting: str) -> Callable[..., object]:
    """`module:name` to what it names. RuntimeError with what to mend."""
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RuntimeError(
            f"{setting} {path!r} cannot be loaded ({error}): give module:function, importable from here"
        ) from error
    if not callable(function):
        raise RuntimeError(f"{setting} {path!r} is not callable: name a function")  # noqa: TRY004
    return function  # type: ignore[no-any-return]
