"""`@llmtrace.tool`, `.agent`, `.retrieval`: an agent's steps, as the conventions name them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, overload

from llmtrace.spans.capture_level import Capture, chosen

from . import span_shapes
from .decorator import P, R, observed


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def tool(
    *, name: str | None = None, kind: str = "function", capture: Capture | bool | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    kind: str = "function",
    capture: Capture | bool | None = None,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each call of a function that models may call as an `execute_tool` span. Else like `observe`.

    name: the tool's name, default the function's; the first line of its docstring is the description.
    kind: `gen_ai.tool.type`: "function", "extension" or "datastore".
    capture: "none" (or False) leaves out arguments and result, which the messages around the call hold as
        well. Without it they are recorded where messages are.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        level = chosen(capture, f"@llmtrace.tool on {target.__qualname__}")
        shape = span_shapes.tool(name or target.__name__, _first_line(target), kind=kind, capture=level)
        return observed(target, shape)

    return decorate(function) if function is not None else decorate


@overload
def agent(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def agent(
    *, name: str | None = None, capture: Capture | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def agent(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    capture: Capture | None = None,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each run of an agent as an `invoke_agent` span. Like `observe` otherwise.

    name: the agent's name, default the function's; every span within has it as `gen_ai.agent.name`, so
        tokens and costs can be summed by agent.
    capture: "all" records its arguments and result, as for `observe`.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        level = chosen(capture, f"@llmtrace.agent on {target.__qualname__}")
        shape = span_shapes.agent(name or target.__name__, _first_line(target), capture=level)
        return observed(target, shape)

    return decorate(function) if function is not None else decorate


@overload
def retrieval(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def retrieval(
    *,
    data_source: str | None = None,
    provider: str | None = None,
    content: bool | None = None,
    capture: Capture | bool | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def retrieval(
    function: Callable[P, R] | None = None,
    /,
    *,
    data_source: str | None = None,
    provider: str | None = None,
    content: bool | None = None,
    capture: Capture | bool | None = None,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each search of an index or knowledge base as a `retrieval` span. Like `observe` otherwise.

    data_source: what is searched, `gen_ai.data_source.id`; default the function's name.
    provider: who runs it ("pinecone").
    content: record the texts and metadata of the documents where messages are recorded too, or never; without
        it where all content is. They are as long as messages may be.
    capture: how much content is recorded, in place of what `init` or a block says. "messages": the query (the
        argument `query`, `question` or `text`, else the first text) and the documents' ids and scores; "all":
        their texts too; "none" (or False): an argument `top_k`, `k` or `limit` alone.

    Documents are read from what LangChain, LlamaIndex, Haystack, Chroma, Pinecone and Qdrant return, from
    mappings and from objects with such attributes.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        level = chosen(capture, f"@llmtrace.retrieval on {target.__qualname__}")
        shape = span_shapes.retrieval(data_source or target.__name__, provider, texts=content, capture=level)
        return observed(target, shape)

    return decorate(function) if function is not None else decorate


def _first_line(target: Callable[..., Any]) -> str:
    return (inspect.getdoc(target) or "").partition("\n")[0]
