"""Random interleavings of generators: each call has the user of who makes it, and no other.

A model keeps beside each generator which blocks it is within, and who runs its step. What it says is compared
with what is recorded, for generators of all kinds, each step in a context that is shared, copied, or of
another thread or task.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

import llmtrace
from llmtrace.spans import context_attributes, generator_blocks
from llmtrace.testing import capture

Instruction = tuple[Any, ...]
ResultT = TypeVar("ResultT")
_USERS: Final = st.sampled_from(["ann", "ben", "cid", "dot"])
_MODES: Final = st.sampled_from(["shared", "copied", "apart"])
_KINDS: Final = st.sampled_from(["context", "manager", "stack", "session"])


def _scripts() -> st.SearchStrategy[list[Instruction]]:
    """What a generator does: asks, yields, hands over, enters blocks, runs others."""
    simple = st.one_of(
        st.just(("ask",)),
        st.just(("yield",)),
        st.just(("start",)),
        st.tuples(st.just("step"), st.integers(0, 3), _MODES),
    )
    return st.recursive(
        st.lists(simple, max_size=4),
        lambda scripts: st.lists(
            st.one_of(
                simple,
                st.tuples(st.just("block"), _USERS, _KINDS, scripts),
                st.tuples(st.just("loop"), _MODES, st.booleans(), scripts),
                st.tuples(st.just("delegate"), scripts),
            ),
            min_size=1,
            max_size=5,
        ),
        max_leaves=12,
    )


_GENERATORS: Final = st.lists(st.tuples(st.booleans(), _scripts()), min_size=1, max_size=4)
_CALLER: Final = st.lists(
    st.one_of(
        st.just(("ask",)),
        st.just(("start",)),
        st.tuples(st.just("step"), st.integers(0, 3), _MODES),
        st.tuples(st.just("step"), st.integers(0, 3), _MODES),
        st.tuples(st.just("close"), st.integers(0, 3), _MODES),
        st.tuples(st.just("enter"), _USERS),
        st.just(("leave",)),
    ),
    max_size=25,
)


class _Actor:
    """Who may make a call: a generator, its caller, or what one of them started."""

    def __init__(self, driver: _Actor | None = None, blocks: list[str] | None = None) -> None:
        self.driver = driver
        self.blocks = blocks or []

    def user(self) -> str | None:
        if self.blocks:
            return self.blocks[-1]
        return None if self.driver is None else self.driver.user()

    def frozen(self) -> _Actor:
        user = self.user()
        return _Actor(blocks=[] if user is None else [user])


class _Checked:
    """What was asked: all of it is wrong that the model does not say."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.asked = 0

    def ask(self, actor: _Actor) -> None:
        self.asked += 1
        user = context_attributes.attributes().get("user.id")
        with llmtrace.span("probe") as span:
            recorded = (span._otel_span.attributes or {}).get("user.id")  # type: ignore[union-attr]
        for seen in (user, recorded):
            if seen != actor.user():
                self.wrong.append(f"{seen} instead of {actor.user()}")


@contextlib.contextmanager
def _managed(user: str) -> Iterator[None]:
    with llmtrace.context(user_id=user):
        yield


@contextlib.contextmanager
def _within(actor: _Actor, user: str, kind: str) -> Iterator[None]:
    """A block of the actor's own, of any kind: this context manager is one as well."""
    with contextlib.ExitStack() as stack:
        if kind == "session":
            stack.enter_context(llmtrace.context(session_id=user))
            yield
            return
        block = llmtrace.context(user_id=user) if kind == "context" else _managed(user)
        stack.enter_context(block)
        actor.blocks.append(user)
        try:
            yield
        finally:
            actor.blocks.pop()


class _Program:
    """Generators without `async`; steps run in this context, in a copy, or in a thread with a copy."""

    def __init__(self, specs: list[tuple[bool, list[Instruction]]], checked: _Checked) -> None:
        self.checked = checked
        self.actors = [_Actor() for _ in specs]
        self.observed = [observed for observed, _ in specs]
        self.running = [False] * len(specs)
        self.generators = [
            (llmtrace.observe(self.run) if observed else self.run)(actor, script)
            for actor, (observed, script) in zip(self.actors, specs, strict=True)
        ]

    def run(self, actor: _Actor, script: list[Instruction]) -> Iterator[None]:
        for instruction in script:
            match instruction:
                case ("ask",):
                    self.checked.ask(actor)
                case ("yield",):
                    yield
                case ("start",):
                    self.apart(lambda: self.checked.ask(actor))
                case ("step", number, mode):
                    self.step(actor, number, mode)
                case ("block", user, "context", inner):
                    with llmtrace.context(user_id=user):
                        actor.blocks.append(user)
                        try:
                            yield from self.run(actor, inner)
                        finally:
                            actor.blocks.pop()
                case ("block", user, kind, inner):
                    with _within(actor, user, kind):
                        yield from self.run(actor, inner)
                case ("loop", mode, observed, inner):
                    child = _Actor(actor.frozen() if observed else actor)
                    generator = (llmtrace.observe(self.run) if observed else self.run)(child, inner)
                    while self.stepped(generator, mode):
                        self.checked.ask(actor)
                        yield
                case ("delegate", inner):
                    yield from self.run(_Actor(actor), inner)

    def step(self, actor: _Actor, number: int, mode: str, *, close: bool = False) -> None:
        number %= len(self.generators)
        if self.running[number]:
            return
        if self.actors[number].driver is None or not self.observed[number]:
            self.actors[number].driver = actor.frozen() if self.observed[number] else actor
        self.running[number] = True
        try:
            self.stepped(self.generators[number], mode, close=close)
        finally:
            self.running[number] = False

    def stepped(self, generator: Any, mode: str, *, close: bool = False) -> bool:
        def step() -> bool:
            if close:
                generator.close()
            return not close and next(generator, _END) is not _END

        if mode == "shared":
            return step()
        if mode == "copied":
            return contextvars.copy_context().run(step)
        return self.apart(step)

    def apart(self, function: Callable[[], ResultT]) -> ResultT:
        results: list[ResultT] = []
        run = contextvars.copy_context().run
        thread = threading.Thread(target=lambda: results.append(run(function)))
        thread.start()
        thread.join()
        return results[0]


class _AsyncProgram:
    """Async generators; steps run in this task, or in a task or a copied context of their own."""

    def __init__(self, specs: list[tuple[bool, list[Instruction]]], checked: _Checked) -> None:
        self.checked = checked
        self.actors = [_Actor() for _ in specs]
        self.observed = [observed for observed, _ in specs]
        self.running = [False] * len(specs)
        self.background: list[asyncio.Task[None]] = []
        self.generators = [
            (llmtrace.observe(self.run) if observed else self.run)(actor, script)
            for actor, (observed, script) in zip(self.actors, specs, strict=True)
        ]

    async def run(self, actor: _Actor, script: list[Instruction]) -> AsyncIterator[None]:
        for instruction in script:
            match instruction:
                case ("ask",):
                    await asyncio.sleep(0)
                    self.checked.ask(actor)
                case ("yield",):
                    yield
                case ("start",):
                    await self.start(actor)
                case ("step", number, mode):
                    await self.step(actor, number, mode)
                case ("block", user, "context", inner):
                    async with llmtrace.context(user_id=user):
                        actor.blocks.append(user)
                        try:
                            async for _ in self.run(actor, inner):
                                yield
                        finally:
                            actor.blocks.pop()
                case ("block", user, kind, inner):
                    with _within(actor, user, kind):
                        async for _ in self.run(actor, inner):
                            yield
                case ("loop", mode, observed, inner):
                    child = _Actor(actor.frozen() if observed else actor)
                    generator = (llmtrace.observe(self.run) if observed else self.run)(child, inner)
                    while await self.stepped(generator, mode):
                        self.checked.ask(actor)
                        yield
                case ("delegate", inner):
                    async for _ in self.run(_Actor(actor), inner):
                        yield

    async def start(self, actor: _Actor) -> None:
        frozen = actor.frozen()

        async def ask() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
                self.checked.ask(frozen)

        self.background.append(asyncio.create_task(ask()))
        await asyncio.create_task(ask())
        await asyncio.to_thread(self.checked.ask, frozen)

    async def step(self, actor: _Actor, number: int, mode: str, *, close: bool = False) -> None:
        number %= len(self.generators)
        if self.running[number]:
            return
        if self.actors[number].driver is None or not self.observed[number]:
            self.actors[number].driver = actor.frozen() if self.observed[number] else actor
        self.running[number] = True
        try:
            await self.stepped(self.generators[number], mode, close=close)
        finally:
            self.running[number] = False

    async def stepped(self, generator: Any, mode: str, *, close: bool = False) -> bool:
        async def step() -> bool:
            if close:
                await generator.aclose()
            return not close and await anext(generator, _END) is not _END

        if mode == "shared":
            return await step()
        if mode == "copied":
            return await asyncio.create_task(step(), context=contextvars.copy_context())
        return await asyncio.create_task(step())


_END: Final = object()


@settings(max_examples=150, deadline=None)
@given(_GENERATORS, _CALLER)
def test_generators(specs: list[tuple[bool, list[Instruction]]], caller: list[Instruction]) -> None:
    checked = _Checked()

    def run() -> None:
        actor, entered = _Actor(), contextlib.ExitStack()
        program = _Program(specs, checked)
        for instruction in caller:
            match instruction:
                case ("ask",):
                    pass
                case ("start",):
                    program.apart(lambda: checked.ask(actor))
                case ("step", number, mode):
                    program.step(actor, number, mode)
                case ("close", number, mode):
                    program.step(actor, number, mode, close=True)
                case ("enter", user):
                    entered.enter_context(_within(actor, user, "manager"))
                case ("leave",):
                    entered.close()
            checked.ask(actor)
        entered.close()
        del program
        checked.ask(actor)

    _run(run, checked)


@settings(max_examples=150, deadline=None)
@given(_GENERATORS, _CALLER)
def test_async_generators(specs: list[tuple[bool, list[Instruction]]], caller: list[Instruction]) -> None:
    checked = _Checked()

    async def run() -> None:
        actor, entered = _Actor(), contextlib.ExitStack()
        program = _AsyncProgram(specs, checked)
        for instruction in caller:
            match instruction:
                case ("ask",):
                    await asyncio.sleep(0)
                case ("start",):
                    await program.start(actor)
                case ("step", number, mode):
                    await program.step(actor, number, mode)
                case ("close", number, mode):
                    await program.step(actor, number, mode, close=True)
                case ("enter", user):
                    entered.enter_context(_within(actor, user, "manager"))
                case ("leave",):
                    entered.close()
            checked.ask(actor)
        entered.close()
        await asyncio.gather(*program.background)
        del program
        checked.ask(actor)

    _run(lambda: asyncio.run(run()), checked)


def _run(program: Callable[[], None], checked: _Checked) -> None:
    logged: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    opentelemetry = logging.getLogger("opentelemetry")
    opentelemetry.addHandler(handler)
    try:
        with capture():
            contextvars.copy_context().run(program)
    finally:
        opentelemetry.removeHandler(handler)
    assert checked.wrong == []
    assert logged == []
    if generator_blocks._open:
        gc.collect()  # suspended generators that refer to each other
    assert not generator_blocks._open
