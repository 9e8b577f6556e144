"""How complex a JSON text may be, checked on its bytes before a parser makes objects of them.

A parser makes some sixty bytes of each two of `[[],[],…`, and goes down a call for each level.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

_BRACKETS = b"[{]}"
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")
_OTHERS = bytes(byte for byte in range(256) if byte not in _BRACKETS)

#: Strings that are cut out before other threads have their turn.
_AT_ONCE = 50_000


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

    Takes a millisecond or two for a megabyte, and makes no object for what it counts. What is no JSON may
    pass: the parser says so.
    """
    if b"\0" in raw:
        raise JsonTooComplex("the JSON is not UTF-8 text: it holds a zero byte")
    if len(raw) <= min(depth, members, values):
        return
    # Outside of strings a backslash is no JSON: what is escaped goes, and every quote left is a string's.
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    strings = plain.count(b'"') // 2
    if strings > values + members:
        raise JsonTooComplex(f"the JSON has more than {values:,} values: send less at a time")
    skeleton = _without_strings(plain)
    keys = skeleton.count(b":")
    if keys > members:
        raise JsonTooComplex(f"the JSON has more than {members:,} keys: send less at a time")
    opened = skeleton.count(b"[") + skeleton.count(b"{")
    if opened + skeleton.count(b",") > values:
        raise JsonTooComplex(f"the JSON has more than {values:,} values: send less at a time")
    if skeleton.count(b"]") + skeleton.count(b"}") > opened:
        raise JsonTooComplex("the JSON closes more brackets than it opens")
    if opened > depth:
        steps = memoryview(skeleton.translate(_STEPS, _OTHERS)).cast("b")
        if max(accumulate(steps), default=0) > depth:
            raise JsonTooComplex(f"the JSON is nested more than {depth} levels deep: send it flatter")


def _without_strings(plain: bytes) -> bytes:
    """What stands outside of the strings of a text without escaped quotes."""
    outside: list[bytes] = []
    rest = plain
    while b'"' in rest:
        parts = rest.split(b'"', 2 * _AT_ONCE)
        rest = parts.pop() if len(parts) % 2 else b""
        outside.append(b"".join(parts[::2]))
    return b"".join([*outside, rest])
