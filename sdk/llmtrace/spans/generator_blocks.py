"""Blocks around a `yield`: to whom they belong, and what the OpenTelemetry context is for who reads it.

A generator shares the context of whoever runs its step: what a block inside attaches stays there after the
`yield`, and is not there when the next step runs in another context. Python tells nobody of a `yield`. So a
block that a generator's own frame enters is noted with that frame, and it is decided when the context is
*read*: the block holds where that frame is on the stack, and is taken out where it is not.

A generator that serves as a context manager (`contextlib.contextmanager`, a yield fixture of pytest) is run
by an entering function, and its block is the one of whoever called that: see `_owner`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from types import FrameType
from typing import Final, NamedTuple, Protocol

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from llmtrace.internal_errors import swallow

from . import running_frames

#: In a context that a generator's own frame attached: its block, the innermost one.
_TOP: Final = otel_context.create_key("llmtrace-generator-block")
#: All blocks of generators that a context includes, outermost first.
_INCLUDED: Final = otel_context.create_key("llmtrace-generator-blocks")
_GENERATOR: Final = 0x20 | 0x200  # inspect.CO_GENERATOR, CO_ASYNC_GENERATOR; importing inspect is slow
_ENTERING: Final = frozenset({"__enter__", "__aenter__", "enter_context", "enter_async_context"})
#: What runs a generator once to set up and once to tear down, for code in between: (module, function).
_FIXTURES: Final = frozenset(
    {
        ("_pytest.fixtures", "call_fixture_func"),
        ("pluggy._callers", "_multicall"),
        ("pluggy._execution", "_multicall"),
        ("pytest_asyncio.plugin", "setup"),
        ("anyio._backends._asyncio", "_run_tests_and_fixtures"),
    }
)
_LEAVING: Final = swallow("leaving a block", may_raise=False)
_RESOLVING: Final = swallow("telling whose block of a generator it is")


def nothing() -> None:
    """What is done when a generator enters a block, unless `handover` is enabled."""


on_entered: Callable[[], None] = nothing


class Change(Protocol):
    """What a block does to a context."""

    def applied(self, base: Context) -> Context:
        """`base` as it is within the block."""

    def withheld(self, base: Context) -> Context:
        """`base` where nobody knows whether it is within: without whatever the block would replace."""


class _Block:
    """A block that a generator's frame entered."""

    __slots__ = ("_home_token", "change", "entered", "frame", "outer")

    def __init__(self, change: Change, frame: FrameType | None, outer: Context) -> None:
        self.change = change
        self.frame = frame
        """None when it was left: a frame keeps its variables."""
        self.outer = outer
        """The context that was there, as it was."""
        self.entered = outer
        """The context that was attached."""
        _home.set(None)  # so that going back never takes the variable out of the context
        self._home_token: Token[None] = _home.set(None)

    def is_at_home(self) -> bool:
        """Whether this is the very context in which it was entered, and no copy."""
        try:
            _home.reset(self._home_token)
        except (ValueError, RuntimeError):  # a token is good in its own context alone
            return False
        self._home_token = _home.set(None)  # and it is good once
        return True

    def applied(self, base: Context) -> Context:
        return Context(self.change.applied(base), **{_INCLUDED: (*included(base), self)})

    def taken_out_of(self, context: Context) -> Context:
        """The context as it was before, with what others have put into it since."""
        if context is self.entered:
            return self.outer
        entered, nothing = self.entered, object()
        since = {key: value for key, value in context.items() if entered.get(key, nothing) is not value}
        return Context({**self.outer, **since})


#: The blocks of context managers that are open in this context, and in what it was copied from.
managed: Final[ContextVar[tuple[_Block, ...]]] = ContextVar("llmtrace-managed-blocks", default=())
_home: Final[ContextVar[None]] = ContextVar("llmtrace-home", default=None)
#: The blocks that are open, by the frame that entered them, outermost first.
_open: Final[dict[FrameType, list[_Block]]] = {}


class Attached:
    """A context that was attached for a block of nobody's generator, and how to go back."""

    __slots__ = ("before", "entered", "token")

    def __init__(self, token: Token[Context], entered: Context, before: Context) -> None:
        self.token = token
        self.entered = entered
        self.before = before

    def is_here(self) -> bool:
        """Whether what was entered is the active one."""
        return otel_context.get_current() is self.entered

    def leave(self) -> None:
        """Make active what was before. In another context than it was attached in there is nothing to do,
        unless that is a copy of it.
        """
        try:
            self.token.var.reset(self.token)
        except Exception:  # noqa: BLE001  # a token is good in its own context alone
            with _LEAVING:
                if otel_context.get_current() is self.entered:
                    otel_context.attach(self.before)


class ManagedBlock(Attached):
    """A block that was entered by a context manager's generator, or put on an exit stack.

    Others may leave what they attached before it is left, and take its context along: FastAPI ends a span
    around the dependencies of a request before the request is answered.
    """

    __slots__ = ("block",)

    def __init__(self, token: Token[Context], block: _Block) -> None:
        super().__init__(token, block.entered, block.outer)
        self.block = block
        managed.set((*managed.get(), block))

    def leave(self) -> None:
        """See `Attached.leave`."""
        with _LEAVING:
            blocks = managed.get()
            if self.block in blocks:
                managed.set(tuple(block for block in blocks if block is not self.block))
            if self.block in included(otel_context.get_current()):
                Attached.leave(self)


class GeneratorBlock(NamedTuple):
    """A block of a generator that was entered."""

    block: _Block

    def is_here(self) -> bool:
        """Whether its generator is running here."""
        return self.block in running_frames.of_this_stack(_open)

    def leave(self) -> None:
        """It holds no longer; where its context is still the active one it goes, in whichever context."""
        with _LEAVING:
            self._leave()

    def _leave(self) -> None:
        block = self.block
        frame, block.frame = block.frame, None
        if frame is not None:
            blocks = _open.get(frame, [])
            if block in blocks:
                blocks.remove(block)
            if not blocks:
                _open.pop(frame, None)
        current = context = otel_context.get_current()
        while (top := _top(context)) is not None and top.frame is None:
            context = top.taken_out_of(context)
        if context is not current:
            otel_context.attach(context)


Entry = Attached | GeneratorBlock


def enter(change: Change, frame: FrameType) -> Entry:
    """Make what `change` makes of the context the active one.

    frame: the one that enters the block.
    """
    code = frame.f_code
    current = otel_context.get_current()
    base = current if not _open and _TOP not in current and not managed.get() else _resolved(current)
    if code.co_flags & _GENERATOR or code.co_name in _ENTERING:
        owner = _owner(frame)
        if owner is not None:
            return _enter_in_generator(change, owner, current, base)
        block = _Block(change, None, current)
        block.entered = taken_over(block.applied(base))
        return ManagedBlock(otel_context.attach(block.entered), block)
    context = change.applied(base)
    if _TOP in context:
        context = taken_over(context)
    return Attached(otel_context.attach(context), context, current)


def attach(context: Context, before: Context | None = None) -> Attached:
    """Make a context the active one, for who leaves it before a `yield` gets into its way.

    before: the active one, where it is known.
    """
    context = taken_over(context)
    if before is None:
        before = otel_context.get_current()
    return Attached(otel_context.attach(context), context, before)


def taken_over(context: Context) -> Context:
    """The context for who keeps it, or hands it on, whatever becomes of the generators that it is from."""
    if _TOP not in context:
        return context
    return Context({key: value for key, value in context.items() if key != _TOP})


def current() -> Context:
    """The context as it is for who asks: with the blocks of the generators that run him, and no others."""
    context = otel_context.get_current()
    return context if not _open and _TOP not in context and not managed.get() else _resolved(context)


def without_blocks(context: Context) -> Context:
    """The context without what generators have left in it: who runs one gets its blocks by its frame."""
    while (top := _top(context)) is not None:
        context = top.taken_out_of(context)
    return context


def handed_over() -> Context | None:
    """What a thread or a task gets that is started here, where it is not the active context as it is."""
    context = otel_context.get_current()
    if not _open and _TOP not in context and not managed.get():
        return None
    handed = taken_over(_resolved(context))
    return None if handed is context else handed


def included(context: Context) -> tuple[_Block, ...]:
    """The blocks of generators in a context, outermost first."""
    blocks: tuple[_Block, ...] = context.get(_INCLUDED, ())  # type: ignore[assignment]
    return blocks


def _top(context: Context) -> _Block | None:
    top: _Block | None = context.get(_TOP)  # type: ignore[assignment]
    return top


def _enter_in_generator(change: Change, owner: FrameType, current: Context, base: Context) -> GeneratorBlock:
    block = _Block(change, owner, current)
    block.entered = Context(block.applied(base), **{_TOP: block})
    otel_context.attach(block.entered)
    _open.setdefault(owner, []).append(block)
    on_entered()
    return GeneratorBlock(block)


def _owner(frame: FrameType | None) -> FrameType | None:
    """The generator's frame that a block belongs to, if it belongs to one.

    An entering function (`__enter__`, `enter_context`) hands it on to its caller. So does a generator that is
    run by one, directly or as part of another generator (`yield from`): it is a context manager.
    """
    while frame is not None:
        code = frame.f_code
        if code.co_name in _ENTERING:
            frame = frame.f_back
            continue
        if not code.co_flags & _GENERATOR:
            return None
        driver = running_frames.driver(frame)
        if driver is None:
            return frame
        name = driver.f_code.co_name
        if name in _ENTERING:
            frame = driver
        elif (driver.f_globals.get("__name__"), name) in _FIXTURES:
            return None
        else:
            return frame
    return None


def _resolved(context: Context) -> Context:
    with _RESOLVING:
        running = running_frames.of_this_stack(_open)
        withheld: list[_Block] = []
        while (top := _top(context)) is not None and top not in running:
            if not top.is_at_home():
                # A copy, made by the generator for what it started, or by its consumer in between.
                withheld.append(top)
            context = top.taken_out_of(context)
        for block in reversed(withheld):
            context = block.change.withheld(context)
        already = included(context)
        for block in (*managed.get(), *running):
            if block not in already:
                context = block.applied(context)
    return context
