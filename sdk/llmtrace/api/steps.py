"""`@llmtrace.tool`, `.agent`, `.retrieval`: an agent's steps, as the conventions name them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, overload

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from llmtrace import semconv

from .decorator import P, R, SpanShape, as_text, observed

_QUERY_NAMES: Final = ("query", "question", "text")
_TOP_K_NAMES: Final = ("top_k", "k", "limit")


@overload
def tool(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def tool(
    *, name: str | None = None, kind: str = "function", capture: bool = True
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    kind: str = "function",
    capture: bool = True,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each call of a function that models may call as an `execute_tool` span. Else like `observe`.

    name: the tool's name, default the function's; the first line of its docstring is the description.
    kind: `gen_ai.tool.type`: "function", "extension" or "datastore".
    capture: record arguments and result, which the messages around the call hold as well; without effect
        where content is not captured.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        named = name or target.__name__
        attributes: dict[str, AttributeValue] = {
            semconv.OPERATION_NAME: "execute_tool",
            semconv.TOOL_NAME: named,
            semconv.TOOL_TYPE: kind,
        }
        if described := _first_line(target):
            attributes[semconv.TOOL_DESCRIPTION] = described
        shape = SpanShape(
            f"execute_tool {named}",
            attributes=attributes,
            arguments=(lambda bound: {semconv.TOOL_CALL_ARGUMENTS: as_text(bound)}) if capture else None,
            result=(lambda result: {semconv.TOOL_CALL_RESULT: as_text(result)}) if capture else None,
        )
        return observed(target, shape)

    return decorate(function) if function is not None else decorate


@overload
def agent(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def agent(*, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def agent(
    function: Callable[P, R] | None = None, /, *, name: str | None = None
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each run of an agent as an `invoke_agent` span. Like `observe` otherwise.

    name: the agent's name, default the function's; every span within has it as `gen_ai.agent.name`, so
        tokens and costs can be summed by agent.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        named = name or target.__name__
        own: dict[str, AttributeValue] = {
            semconv.OPERATION_NAME: "invoke_agent",
            semconv.AGENT_NAME: named,
        }
        if described := _first_line(target):
            own[semconv.AGENT_DESCRIPTION] = described
        shape = SpanShape(f"invoke_agent {named}", attributes=own, inherited={semconv.AGENT_NAME: named})
        return observed(target, shape)

    return decorate(function) if function is not None else decorate


@overload
def retrieval(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def retrieval(
    *, data_source: str | None = None, provider: str | None = None, capture: bool = True
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def retrieval(
    function: Callable[P, R] | None = None,
    /,
    *,
    data_source: str | None = None,
    provider: str | None = None,
    capture: bool = True,
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Record each search of an index or knowledge base as a `retrieval` span. Like `observe` otherwise.

    data_source: what is searched, `gen_ai.data_source.id`; default the function's name.
    provider: who runs it ("pinecone").
    capture: record the query (the argument `query`, `question` or `text`, else the first text) and the ids
        and scores of a list of documents: mappings, or objects with such attributes; without it only an
        argument `top_k`, `k` or `limit`.
    """

    def decorate(target: Callable[P, R]) -> Callable[P, R]:
        source = data_source or target.__name__
        attributes: dict[str, AttributeValue] = {
            semconv.OPERATION_NAME: "retrieval",
            semconv.DATA_SOURCE_ID: source,
        }
        if provider:
            attributes[semconv.PROVIDER_NAME] = provider
        shape = SpanShape(
            f"retrieval {source}",
            SpanKind.CLIENT,
            attributes=attributes,
            arguments=_query_and_top_k if capture else _top_k,
            result=(lambda result: {semconv.RETRIEVAL_DOCUMENTS: as_text(_documents(result))})
            if capture
            else None,
        )
        return observed(target, shape)

    return decorate(function) if function is not None else decorate


def _first_line(target: Callable[..., Any]) -> str:
    return (inspect.getdoc(target) or "").partition("\n")[0]


def _top_k(arguments: Mapping[str, Any]) -> dict[str, AttributeValue]:
    top_k = next((arguments[name] for name in _TOP_K_NAMES if type(arguments.get(name)) is int), None)
    return {} if top_k is None else {semconv.RETRIEVAL_TOP_K: top_k}


def _query_and_top_k(arguments: Mapping[str, Any]) -> dict[str, AttributeValue]:
    texts = [arguments[name] for name in _QUERY_NAMES if isinstance(arguments.get(name), str)]
    texts += [value for value in arguments.values() if isinstance(value, str)]
    return {**_top_k(arguments), **({semconv.RETRIEVAL_QUERY_TEXT: texts[0]} if texts else {})}


def _documents(result: Any) -> list[dict[str, Any]]:
    items = result if isinstance(result, (list, tuple)) else []
    return [{"id": _part(item, "id"), "score": _part(item, "score")} for item in items]


def _part(item: Any, name: str) -> Any:
    value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
    return value if isinstance(value, (str, int, float)) else None
