"""Which objects are observed, and what happens when one of their methods is called.

The method is wrapped on its class, once, and looks whether its object is observed: so the object stays
itself, of its own type, and can be pickled and copied as before.
"""

from __future__ import annotations

import functools
import inspect
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from llmtrace.capture import interceptor
from llmtrace.internal_errors import swallow

from . import functions, llama_cpp_models, transformers_models, transformers_pipelines, vllm_models
from .calls import LocalCall
from .exchange import Answer, Arguments, Library, Observation

logger = logging.getLogger("llmtrace")

_ENDING: Final = swallow("ending a model's call")
_MARK: Final = "_llmtrace_observed"
_running: ContextVar[LocalCall | None] = ContextVar("llmtrace-running-model", default=None)
_observed: Final[dict[int, _Entry]] = {}
_wrapped: Final[dict[tuple[type, str], Any]] = {}


@dataclass(frozen=True, slots=True)
class _Entry:
    library: Library
    observation: Observation


def observe(model: Any, name: str | None, provider: str | None, tokenizer: Any) -> Any:
    """The model, observed; a function wrapped. What is not known comes back as it is, with a warning."""
    library = _library_of(model)
    if library is None:
        logger.warning("llmtrace cannot observe a %s: it has no method that is known", type(model).__name__)
        return model
    said_name, said_provider, said_tokenizer = library.describe(model)
    known = said_tokenizer if tokenizer is None else tokenizer
    entry = _Entry(library, Observation(name or said_name, provider or said_provider, known))
    if library is functions.LIBRARY:
        return model if hasattr(model, _MARK) else _observed_function(model, entry)
    if library is transformers_pipelines.LIBRARY:  # its calls of the model have the tokens
        _remember(model.model, _Entry(transformers_models.LIBRARY, entry.observation))
    _remember(model, entry)
    return model


def forget(model: Any) -> Any:
    """The model as it was before it was observed; of an observed function, the function."""
    if _library_of(model) is transformers_pipelines.LIBRARY:
        _observed.pop(id(model.model), None)
    _observed.pop(id(model), None)
    if not _observed:
        _unwrap()
    return getattr(model, _MARK, model)


def _library_of(model: Any) -> Library | None:
    """By what it can do: none of these libraries is imported."""
    if inspect.isroutine(model) or isinstance(model, functools.partial) or hasattr(model, _MARK):
        return functions.LIBRARY
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(model).__mro__}
    if "transformers.Pipeline" in names:
        return transformers_pipelines.LIBRARY
    if hasattr(model, "create_chat_completion") and hasattr(model, "create_completion"):
        return llama_cpp_models.LIBRARY
    if callable(getattr(model, "generate", None)):
        if hasattr(model, "llm_engine"):
            return vllm_models.LIBRARY
        if hasattr(model, "config"):
            return transformers_models.LIBRARY
    return None


def _remember(model: Any, entry: _Entry) -> None:
    if id(model) not in _observed:
        weakref.finalize(model, _observed.pop, id(model), None).atexit = False
    for method in entry.library.methods:
        owner = next((kind for kind in type(model).__mro__ if method in kind.__dict__), None)
        if owner is not None:
            _wrap(owner, method)
    _observed[id(model)] = entry


def _wrap(owner: type, method: str) -> None:
    original = owner.__dict__[method]
    if hasattr(original, _MARK):
        return

    @functools.wraps(original)
    def observed(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        entry = _observed.get(id(self))
        if entry is None:
            return original(self, *args, **kwargs)
        return _run(entry, self, method, functools.partial(original, self), (args, kwargs))

    setattr(observed, _MARK, original)
    setattr(owner, method, observed)
    _wrapped[owner, method] = observed


def _unwrap() -> None:
    """Take the methods off again, but where somebody has put another one on top."""
    while _wrapped:
        (owner, method), ours = _wrapped.popitem()
        if owner.__dict__.get(method) is ours:
            setattr(owner, method, getattr(ours, _MARK))


def _observed_function(function: Any, entry: _Entry) -> Any:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def observed_coroutine(*args: Any, **kwargs: Any) -> Any:
            running = _Running(entry, function, "", (args, kwargs))
            with running:
                result = await function(*args, **kwargs)
            return running.returned(result)

        observed: Any = observed_coroutine
    else:

        @functools.wraps(function)
        def observed_function(*args: Any, **kwargs: Any) -> Any:
            return _run(entry, function, "", function, (args, kwargs))

        observed = observed_function
    setattr(observed, _MARK, function)
    return observed


def _run(entry: _Entry, model: Any, method: str, original: Callable[..., Any], arguments: Arguments) -> Any:
    running = _Running(entry, model, method, arguments)
    with running:
        args, kwargs = running.arguments
        result = original(*args, **kwargs)
    return running.returned(result)


class _Running:
    """Around one call: `with running: result = …`, and `running.returned(result)` goes to the caller.

    Within another observed call it is a part of that, whose tokens go there.
    """

    __slots__ = ("_around", "_call", "_entry", "_model", "_own_arguments", "_token", "arguments")

    def __init__(self, entry: _Entry, model: Any, method: str, arguments: Arguments) -> None:
        self._entry = entry
        self._model = model
        self._own_arguments = self.arguments = arguments
        self._around = _running.get()
        self._token: Any = None
        self._call: LocalCall | None = None
        with interceptor.BEGINNING:
            runtime = None if self._around is not None else interceptor.recording()
            if runtime is not None and not entry.library.is_lazy(arguments):
                request = entry.library.request(entry.observation, method, arguments)
                here = interceptor.context_of_call(request.wire_format)
                call = LocalCall(runtime, entry.observation, request, here)
                self._call = call if call.span.recording else None
                self.arguments = entry.library.watched(arguments, call.first_token)

    def __enter__(self) -> None:
        if self._call is not None:
            self._token = _running.set(self._call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _ENDING:
            if self._token is not None:
                _running.reset(self._token)
            if self._call is not None and error is not None:
                self._call.fail(error)

    def returned(self, result: Any) -> Any:
        """Note the result. What the caller gets: the same, or a stream that notes itself."""
        call = self._call
        with _ENDING:
            if call is None:
                if self._around is not None and not _is_stream(result):
                    self._around.within.append(self._answer(result))
            elif _is_stream(result):
                call.begin_stream()
                return _NotedStream(result, call)
            elif hasattr(result, "__aiter__"):
                call.begin_stream()
                return _NotedAsyncStream(aiter(result), call)
            else:
                call.finish(self._answer(result))
        return result

    def _answer(self, result: Any) -> Answer:
        entry = self._entry
        return entry.library.answer(entry.observation, self._model, self._own_arguments, result)


def _is_stream(result: Any) -> bool:
    return hasattr(result, "__next__")


class _Noted:
    """What both wrappers of a stream share; everything else of it is the stream's own."""

    def __init__(self, stream: Any, call: LocalCall) -> None:
        self._stream = stream
        self._call = call
        self._recorder = interceptor.StreamRecorder(call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _over(self, error: BaseException) -> None:
        if isinstance(error, StopIteration | StopAsyncIteration):
            self._recorder.ended(early=False)
        else:
            self._recorder.__exit__(type(error), error, error.__traceback__)

    def __del__(self) -> None:
        self._recorder.garbage_collected()


class _NotedStream(_Noted):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._stream)
        except BaseException as error:
            self._over(error)
            raise
        self._call.note_chunk(chunk)
        return chunk

    def close(self) -> None:
        """Leave it."""
        self._recorder.ended(early=True)
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()


class _NotedAsyncStream(_Noted):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await anext(self._stream)
        except BaseException as error:
            self._over(error)
            raise
        self._call.note_chunk(chunk)
        return chunk

    async def aclose(self) -> None:
        """Leave it."""
        self._recorder.ended(early=True)
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()
