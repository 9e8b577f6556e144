"""Which frames are running here: the stack, seen from its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FrameType
from typing import Final, TypeVar

_GENERATOR: Final = 0x20  # inspect.CO_GENERATOR; importing inspect is slow

ValueT = TypeVar("ValueT")

#: The code of functions that attach a context which is whole (what runs them adds nothing to it), by its id:
#: comparing code is slow.
_boundaries: Final[dict[int, CodeType]] = {}
_has_loops_step = False


def of_this_stack(values: Mapping[FrameType, Sequence[ValueT]]) -> list[ValueT]:
    """The values of the frames that are on this thread's stack, those of the outermost frame first.

    The stack ends at a boundary, and where an event loop runs a task or a callback: what is beyond runs the
    loop. It goes on below a greenlet in the one that waits for it.
    """
    if not _has_loops_step:
        _note_loops_step()
    blocks: list[Sequence[ValueT]] = []
    for top in _stacks():
        frame: FrameType | None = top
        while frame is not None:
            noted = values.get(frame)
            if noted:
                blocks.append(noted)
            if id(frame.f_code) in _boundaries:
                break
            frame = frame.f_back
        else:
            continue
        break
    return [value for noted in reversed(blocks) for value in noted]


def end_stack_at(code: CodeType) -> None:
    """From now on a stack ends where this code runs."""
    _boundaries[id(code)] = code


def driver(generator: FrameType) -> FrameType | None:
    """The frame that runs a generator's step, past those that delegate to it (`yield from`)."""
    frame = generator.f_back
    while frame is not None and frame.f_code.co_flags & _GENERATOR and _delegates(frame):
        frame = frame.f_back
    return frame


def _stacks() -> Iterator[FrameType]:
    yield sys._getframe(1)
    library = sys.modules.get("greenlet")
    parent = library.getcurrent().parent if library is not None else None
    while parent is not None:
        if parent.gr_frame is not None:
            yield parent.gr_frame
        parent = parent.parent


def _note_loops_step() -> None:
    global _has_loops_step
    events = sys.modules.get("asyncio.events")
    if events is not None:
        end_stack_at(events.Handle._run.__code__)
        _has_loops_step = True


def _delegates(frame: FrameType) -> bool:
    """Whether a generator that runs is at a `yield from`."""
    import opcode  # only where a block is entered in a generator that another one runs

    return frame.f_code.co_code[frame.f_lasti] == opcode.opmap["SEND"]
