"""Sends lines as the key of one project, and judges what comes back."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from llmtrace_collector.sql_values import EncodedText
from llmtrace_collector.store.clients.frames import compressed
from llmtrace_collector.store.engine import StoreError

from .lines import Line
from .scene import OWN, Scene

#: Seconds that a line may take, unless it says that it is slow.
_DEADLINE = 5.0

#: Seconds by which a right guess may take longer than a wrong one, several times over.
_TELLING = 0.15

#: Headers that differ from answer to answer.
_PASSING = frozenset({"date", "x-clickhouse-query-id"})


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many seconds."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    @property
    def whole(self) -> bytes:
        """Everything of it in which a word could stand."""
        return b"\n".join([str(self.headers).encode(), self.body])

    def alike(self, values: Mapping[str, str]) -> tuple[int, tuple[tuple[str, str], ...], list[bytes]]:
        """What a reader can tell two answers apart by, but for the guess itself and the order of rows."""
        body = self.body.replace(values["guess"].encode(), b"guess")
        return self.status, self.headers, sorted(body.splitlines())


@dataclass(frozen=True)
class Escape:
    """A line that did `what` it may not, `where`: at the endpoint, or the engine without the parser."""

    line: Line
    where: str
    what: str


@dataclass
class Tally:
    """What became of the lines of one kind."""

    lines: int = 0
    refused: int = 0
    answered: int = 0
    failed: int = 0
    lets: int = 0
    escapes: list[Escape] = field(default_factory=list)
    #: Lines whose answers differ by themselves, as those of `now()` do.
    varying: int = 0


class Attack:
    """One run of lines against one scene."""

    def __init__(self, scene: Scene, lines: Sequence[Line], progress: Callable[[str], None]) -> None:
        self._scene = scene
        self._lines = lines
        self._progress = progress
        self._client = httpx.Client(timeout=120, trust_env=False)
        self.tallies: dict[str, Tally] = {}

    def run(self) -> dict[str, Tally]:
        """Send every line: to the endpoint, before and after the other project's rows grow, and to the engine
        without the parser. The tallies by kind.
        """
        # What is slow is no reader's tool: once is enough.
        quick = [line for line in self._lines if not line.slow]
        slow = [line for line in self._lines if line.slow]
        first = self._round("endpoint", quick)
        again = self._round("endpoint, again", quick)
        self._behind()
        self._scene.grow()
        grown = self._round("endpoint, after the other project's rows grew", quick)
        for line, before, repeated, after in zip(quick, first, again, grown, strict=True):
            self._judge(line, before, repeated, after)
        for line, once in zip(slow, self._round("endpoint, slow", slow), strict=True):
            self._judge(line, once, once, once)
        self._client.close()
        return self.tallies

    def _round(self, name: str, lines: Sequence[Line]) -> list[list[Answer]]:
        """The answers to each line: one, or that to a right guess and that to a wrong one."""
        answers = []
        for number, line in enumerate(lines, 1):
            if number % 200 == 0:
                self._progress(f"{name}: {number} of {len(lines)}")
            worlds = [self._scene.values]
            if line.asks_twice:
                worlds.append(self._scene.wrong_values)
            answers.append([self.send(line.filled(values), self._scene.key) for values in worlds])
            if self._scene.out.exists():
                self._escape(line, "endpoint", "wrote a file")
                self._scene.out.unlink()
        return answers

    def _judge(self, line: Line, first: list[Answer], again: list[Answer], grown: list[Answer]) -> None:
        tally = self._tally(line)
        tally.lines += 1
        answer = first[0]
        tally.answered += answer.status == 200
        tally.refused += answer.status in range(400, 500)
        tally.failed += answer.status >= 500
        for seen in (*first, *again, *grown):
            word = self._scene.marks.within(seen.whole)
            if word:
                self._escape(line, "endpoint", f"a marked word came out: {word}")
                return
            if seen.status >= 500 and seen.status != 503:
                self._escape(line, "endpoint", f"status {seen.status}")
                return
            if seen.seconds > _DEADLINE and not line.slow:
                self._escape(line, "endpoint", f"took {seen.seconds:.1f} s")
                return
        if (line.expect == "refused") != (answer.status in range(400, 500)) and line.expect != "any":
            self._escape(line, "endpoint", f"status {answer.status}, expected: {line.expect}")
        right, wrong = self._scene.values, self._scene.wrong_values
        if first[0].alike(right) != again[0].alike(right):
            tally.varying += 1
        elif first[0].alike(right) != grown[0].alike(right):
            self._escape(line, "endpoint", "the answer changed with the other project's rows")
        if line.asks_twice:
            if first[0].alike(right) != first[1].alike(wrong):
                self._escape(line, "endpoint", "the answer tells a right guess from a wrong one")
            elif min(a[0].seconds - a[1].seconds for a in (first, again, grown)) > _TELLING:
                self._escape(line, "endpoint", "the time tells a right guess from a wrong one")

    def _behind(self) -> None:
        """Every line straight to the engine's confined handle."""
        for number, line in enumerate(self._lines, 1):
            if number % 200 == 0:
                self._progress(f"engine, without the parser: {number} of {len(self._lines)}")
            # Those wear out the parser, and only it.
            if line.kind == "load":
                continue
            filled = line.filled(self._scene.values)
            params = {name: EncodedText(value) for name, value in filled.params.items()}
            try:
                data = self._scene.store.read(filled.text, params, "TabSeparated", OWN)
            except StoreError as error:
                data = str(error).encode()
            except ValueError:  # a lone surrogate: no such text reaches an engine
                data = b""
            written = self._scene.out.exists()
            if written:
                data += self._scene.out.read_bytes()
                self._scene.out.unlink()
            word = self._scene.marks.within(data)
            if (word or written) and line.engine_lets:
                self._tally(line).lets += 1
            elif word:
                self._escape(line, "engine", f"a marked word came out: {word}")
            elif written:
                self._escape(line, "engine", "wrote a file")

    def send(self, line: Line, key: str) -> Answer:
        """The answer to a line whose placeholders are filled."""
        params = {**{f"param_{name}": value for name, value in line.params.items()}, **line.url}
        headers = {"authorization": f"Bearer {key}"}
        text = line.text.encode(errors="surrogatepass")
        path, body = "/clickhouse/", text
        files: dict[str, Any] | None = None
        if line.via in ("address", "both"):
            params["query"] = line.text
            body = b"" if line.via == "address" else b"SELECT 1"
        elif line.via == "form":
            body, files = b"", {"query": (None, text)}
        elif line.via == "external table":
            body, files = b"", {"query": (None, text), "t": ("t", b"1\t2\n", "application/octet-stream")}
            params |= {"t_structure": "a String, b String", "t_format": "TSV"}
        elif line.via == "gzip":
            body, headers["content-encoding"] = gzip.compress(text), "gzip"
        elif line.via == "native":
            body, params["decompress"] = compressed(text), "1"
        elif line.via == "utf-16":
            body, headers["content-type"] = line.text.encode("utf-16"), "text/plain; charset=utf-16"
        elif line.via == "root":
            path = "/"
        # Names of headers as a client of ours would have them; what no header may hold is not sent.
        headers |= {name: value for name, value in line.headers.items() if name.lower() != "authorization"}
        started = time.monotonic()
        answer = self._client.post(
            f"{self._scene.served.url}{path}",
            params=params,
            content=None if files else body,
            files=files,
            headers=headers,
        )
        lasting = tuple(
            (name, value) for name, value in sorted(answer.headers.items()) if name.lower() not in _PASSING
        )
        return Answer(answer.status_code, lasting, answer.content, time.monotonic() - started)

    def _tally(self, line: Line) -> Tally:
        return self.tallies.setdefault(line.kind, Tally())

    def _escape(self, line: Line, where: str, what: str) -> None:
        self._tally(line).escapes.append(Escape(line, where, what))


def all_escapes(tallies: Iterable[Tally]) -> list[Escape]:
    """The escapes of several kinds, in one list."""
    return [escape for tally in tallies for escape in tally.escapes]
