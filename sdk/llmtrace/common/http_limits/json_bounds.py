"""How complex a JSON text may be, checked on its bytes before a parser makes objects of them.

A parser makes some sixty bytes of each two of `[[],[],…`, and goes down a call for each level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate

#: A string, to its end or the text's: nothing is tried twice, so a text of quotes takes no longer.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

_BRACKETS = b"[{]}"
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")
_OTHERS = bytes(byte for byte in range(256) if byte not in _BRACKETS)


class JsonTooComplex(ValueError):
    """The text has more levels, members or values than it may."""


@dataclass(frozen=True)
class JsonBounds:
    """The most that a text may have: levels of nesting, keys of objects, values in all."""

    depth: int = 32
    members: int = 20_000
    values: int = 100_000


def check_json(raw: bytes, *, depth: int, members: int, values: int) -> None:
    """Raise JsonTooComplex, with a sentence that says how to mend it, when `raw` has more levels, keys of
    objects or values (each within the strings not counted) than that, or is not UTF-8.

    Takes about a millisecond for 300 kB, and makes no object for what it counts. What is no JSON at all may
    pass: the parser says so.
    """
    if b"\0" in raw:
        raise JsonTooComplex("the JSON is not UTF-8 text: it holds a zero byte")
    if len(raw) <= min(depth, members, values):
        return
    skeleton, strings = _STRING.subn(b"", raw, values + members + 1)
    keys = skeleton.count(b":")
    if keys > members:
        raise JsonTooComplex(f"the JSON has more than {members:,} keys: send less at a time")
    opened = skeleton.count(b"[") + skeleton.count(b"{")
    if strings > values + members or opened + skeleton.count(b",") > values:
        raise JsonTooComplex(f"the JSON has more than {values:,} values: send less at a time")
    if skeleton.count(b"]") + skeleton.count(b"}") > opened:
        raise JsonTooComplex("the JSON closes more brackets than it opens")
    if opened > depth:
        steps = memoryview(skeleton.translate(_STEPS, _OTHERS)).cast("b")
        if max(accumulate(steps), default=0) > depth:
            raise JsonTooComplex(f"the JSON is nested more than {depth} levels deep: send it flatter")
