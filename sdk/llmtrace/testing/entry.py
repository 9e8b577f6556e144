"""The function that a trace began with: by its name, called to its end."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FillIn:
    """What a test cannot know and somebody has to write in its place; `why` says what is wanted."""

    why: str


class EntryError(Exception):
    """The program cannot be called; the message says what to write in the test."""


def run_entry(entry: str | FillIn, arguments: Mapping[str, Any] | FillIn) -> Any:
    """What the function returns: of a coroutine its result, of a generator a list of all that it yields.

    entry: `package.module:function`, or a dotted name as spans have it. Raises EntryError where it cannot be
    called, and what the function raises.
    """
    if isinstance(entry, FillIn):
        raise EntryError(f"fill in ENTRY in this test: {entry.why}")
    if isinstance(arguments, FillIn):
        raise EntryError(f"fill in ARGUMENTS in this test: {arguments.why}")
    function = find(entry)
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise EntryError(
            f"{entry} cannot be called with {', '.join(arguments) or 'nothing'} ({error}): correct ARGUMENTS"
        ) from error
    return _completed(function(**arguments))


def find(entry: str) -> Callable[..., Any]:
    """The function of that name. Raises EntryError."""
    module_name, colon, name = entry.partition(":")
    if colon:
        return _attribute(_imported(module_name, entry), name, entry)
    parts = entry.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:length])
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            # The module itself, or a folder on the way to it; one that it wants is the program's own trouble.
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            continue
        return _attribute(module, ".".join(parts[length:]), entry)
    raise EntryError(
        f"no module of {entry!r} can be imported: run pytest where the program can be imported, or write "
        "ENTRY as 'module:function'"
    )


def _imported(module_name: str, entry: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise EntryError(
            f"{entry!r}: there is no module {module_name!r}; run pytest where it can be imported"
        ) from error


def _attribute(module: Any, name: str, entry: str) -> Callable[..., Any]:
    value: Any = module
    for part in name.split("."):
        owner, value = value, inspect.getattr_static(value, part, None)
        if value is None:
            raise EntryError(f"{entry!r}: there is no {part!r} in {getattr(owner, '__name__', owner)}")
        bound = getattr(owner, part)
        is_plain = inspect.isfunction(value) and inspect.isclass(owner)
        value = bound
    if is_plain:
        raise EntryError(
            f"{entry} is a method and needs its object: write a function that makes one and calls it, and "
            "name that as ENTRY"
        )
    if not callable(value):
        raise EntryError(f"{entry!r} is no function")
    function: Callable[..., Any] = value
    return function


def _completed(result: Any) -> Any:
    if inspect.isawaitable(result):
        return asyncio.run(_awaited(result))
    if inspect.isasyncgen(result):
        return asyncio.run(_listed(result))
    if inspect.isgenerator(result):
        return list(result)
    return result


async def _awaited(result: Any) -> Any:
    return await result


async def _listed(generator: Any) -> list[Any]:
    return [item async for item in generator]
