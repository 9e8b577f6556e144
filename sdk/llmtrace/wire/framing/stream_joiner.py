r"""Runs of stream events that differ in one text only, joined into one event before anything is decoded.

Most of a stream is the same event over and over with a few other words in it. Where a format would only
lengthen a text by them, the texts are joined in the raw bytes (`{"a":1,"text":"He"}`, `{"a":1,"text":"llo"}`
→ `{"a":1,"text":"Hello"}`), and one event is decoded and folded instead of a hundred: a tenth of the CPU.
`fold(events(joined(body))) == fold(events(body))`; whatever is not plainly such a run stays as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from llmtrace.wire.format import Json

_ESCAPE: Final = rb'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})'
_TEXT: Final = re.compile(rb'(?:[^"\\\x00-\x1f]++|' + _ESCAPE + rb")*+")
# A byte that no JSON text holds stands between the texts: no escape can reach over it.
_TEXTS: Final = re.compile(rb'(?:[^"\\\x01-\x1f]++|' + _ESCAPE + rb")*+")
_LONG_RUN: Final = 8
_MAX_RUNS: Final = 32
_MAX_MISSES: Final = 6
_PATIENT_MISSES: Final = 1
_MIN_BYTES: Final = 4096
_NEEDLE: Final = 24


@dataclass(frozen=True, slots=True)
class StreamJoiner:
    """How a format's streams repeat themselves.

    fields: the fields that hold the text which grows.
    sole_text: an event → the one text by which folding it changes anything when it comes again with another
        text there, else None.
    strip_noise: a stream → the same without what is random in each event and means nothing, such as padding;
        called where that is in the way.
    line: how the lines that hold events begin: `data:`, or nothing where each line is an event.
    """

    fields: tuple[str, ...]
    sole_text: Callable[[Json], Json]
    strip_noise: Callable[[bytes], bytes] | None = None
    line: bytes = b"data:"

    def joined(self, body: bytes) -> bytes:
        """The stream with its runs joined; the same bytes where there are none."""
        if len(body) < _MIN_BYTES or b"\x00" in body:
            return body
        pieces: list[bytes] = []
        strip_noise = self.strip_noise
        at = search = misses = 0
        for _ in range(_MAX_RUNS):
            mark = _opening(self.fields).search(body, search)
            if mark is None or misses > _MAX_MISSES:
                break
            if strip_noise is not None and misses > _PATIENT_MISSES:
                body = strip_noise(body[at:])
                at, search, misses, strip_noise = 0, 0, 0, None
                continue
            start = body.rfind(b"\n", search, mark.start()) + 1 or search
            texts, seam, head = self._run(body, start, mark.end())
            misses += len(texts) < _LONG_RUN
            if len(texts) > 1:
                pieces += body[at : mark.end()], *texts, seam[: len(seam) - len(head)]
                at = search = mark.end() + sum(map(len, texts)) + len(seam) * len(texts) - len(head)
            else:
                search = _end(body, mark.end())
        return b"".join((*pieces, body[at:])) if pieces else body

    def _run(self, body: bytes, start: int, begin: int) -> tuple[list[bytes], bytes, bytes]:
        """(texts, what stands between two of them, what stands before each) from the event at `start`.

        begin: where its text begins. No texts where it is not the first of several.
        """
        head = body[start:begin]
        match = _TEXT.match(body, begin)
        close = match.end() if match is not None else begin
        follower = body.find(head, close)
        if follower < 0 or not head.startswith(self.line) or body[close : close + 1] != b'"':
            return [], b"", head
        event, _, between = body[close:follower].partition(b"\n")
        if any(line.startswith(self.line) and line.strip() for line in between.splitlines()):
            return [], b"", head
        if not self._grows(head + body[begin:close] + event, body[begin:close]):
            return [], b"", head
        seam = body[close : follower + len(head)]
        # Looking for all of a long seam is slow: the texts are split at its end, and the rest is taken off.
        needle, rest = seam[-_NEEDLE:], seam[:-_NEEDLE]
        texts = [piece.removesuffix(rest) for piece in body[begin:].split(needle)]
        texts.pop()  # the rest of the stream hangs on the last one
        if _TEXTS.fullmatch(b"\x00".join(texts)) is None:
            invalid_at = next(index for index, piece in enumerate(texts) if _TEXT.fullmatch(piece) is None)
            del texts[invalid_at:]
        return texts, seam, head

    def _grows(self, line: bytes, text: bytes) -> bool:
        """Whether the event of a line has one text that grows, and that is `text`."""
        try:
            sole_text = self.sole_text(json.loads(line[len(self.line) :]))
            once = len(_opening(self.fields).findall(line)) == 1
            return once and isinstance(sole_text, str) and sole_text == json.loads(b'"' + text + b'"')
        except ValueError:
            return False


_openings: dict[tuple[str, ...], re.Pattern[bytes]] = {}


def _opening(fields: tuple[str, ...]) -> re.Pattern[bytes]:
    """What stands before the text of one of the fields. In a text, the quotes would be escaped."""
    pattern = _openings.get(fields)
    if pattern is None:
        names = "|".join(map(re.escape, fields)).encode()
        pattern = _openings[fields] = re.compile(rb'"(?:' + names + rb')"[ \t]*:[ \t]*"')
    return pattern


def _end(body: bytes, start: int) -> int:
    """Where the next line begins."""
    return body.find(b"\n", start) + 1 or len(body)
