"""A parsing process from outside: started when it is needed, and again when a text ended it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from typing import IO, Any, cast

from .refusal import QueryRefused, ReadDenied, TooSlow
from .safe_query import SafeQuery

logger = logging.getLogger(__name__)

#: How long one text may be parsed, in seconds of CPU time.
DEADLINE = 2.0


#: How long a process whose output has ended takes to end, at most.
_END_SECONDS = 10.0


class ParserUnavailable(Exception):
    """No parsing process could be started; the message says what it left behind."""


class ParserProcess:
    """One process for one thread."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def make_safe(self, text: str, max_bytes: int) -> SafeQuery:
        """`guard.make_safe` in that process. Raises QueryRefused, also when the text takes too long;
        ParserUnavailable when there is no process.
        """
        request = json.dumps({"text": text, "max_bytes": max_bytes}).encode() + b"\n"
        # A process may have been killed while it waited, which is not the text's fault: it has a second one.
        line = self._answer(request) or self._answer(request)
        if not line:
            raise QueryRefused("the query cannot be read: it takes too much memory, or too many levels")
        return _query(json.loads(line))

    def _answer(self, request: bytes) -> bytes:
        """The process' answer; empty when it was killed over it. Raises TooSlow and ParserUnavailable."""
        process = self._running()
        requests, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        try:
            requests.write(request)
            requests.flush()
            line = answers.readline()
        except OSError:  # it ended before it had read
            line = b""
        if line.endswith(b"\n"):
            return line
        code = process.wait(_END_SECONDS)
        self.close()
        if -code in (signal.SIGPROF, signal.SIGALRM):
            raise TooSlow(f"the query takes longer than {self._deadline:g} s to read: make it simpler")
        logger.warning("the process that reads queries ended with status %s", code)
        if code >= 0:
            raise ParserUnavailable(f"the process that reads queries ended with status {code}")
        return b""

    def kill(self) -> None:
        """End the process, whatever it does, for good: for any thread, also while another waits for it."""
        self._ended = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process and forget it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        if self._ended:
            raise ParserUnavailable("the collector stops")
        # Keys are nothing that a parser needs.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMTRACE_")}
        command = [sys.executable, "-P", "-m", f"{__package__}.worker", str(self._deadline)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise ParserUnavailable(f"the process that reads queries did not start ({error})") from error
        return self._process


def _query(answer: dict[str, Any]) -> SafeQuery:
    if "denied" in answer:
        raise ReadDenied(answer["denied"])
    if "refused" in answer:
        raise QueryRefused(answer["refused"])
    return SafeQuery(
        answer["sql"],
        answer["format"],
        tuple((name, value) for name, value in answer["settings"]),
        frozenset(answer["tables"]),
        frozenset(answer["functions"]),
        frozenset(answer["stand_ins"]),
    )
