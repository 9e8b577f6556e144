"""The operator's content checks, run on prompts and on each finished sentence of an answer."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from llmtrace_inference.safety import Check, Content, Verdict

from .callables import load_callable

logger = logging.getLogger(__name__)

_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*\s|\n")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check says of a content."""

    name: str
    verdict: Verdict

    @property
    def refusal(self) -> str | None:
        """The category that it refuses, or its own name; None where it allows."""
        return None if self.verdict.allowed else self.verdict.category or self.name

    @property
    def text(self) -> str:
        """`name=allowed` or `name=refused`, with the category where it names one."""
        result = f"{self.name}={'allowed' if self.verdict.allowed else 'refused'}"
        return f"{result}:{self.verdict.category}" if self.verdict.category else result


CheckStep = Callable[[Content], AsyncIterator[CheckResult]]
"""What each check says of a content, up to the first one that refuses."""


async def _results(checks: Mapping[str, Check], content: Content) -> AsyncIterator[CheckResult]:
    for name, check in checks.items():
        try:
            verdict = await _ask(check, content)
        except Exception:
            logger.exception("content check %s failed: its content is refused", name)
            verdict = Verdict(False, "check_failed")
        yield CheckResult(name, verdict)
        if not verdict.allowed:
            return


async def _ask(check: Check, content: Content) -> Verdict:
    if inspect.iscoroutinefunction(check):
        answer = await check(content)
    else:
        answer = await asyncio.to_thread(check, content)  # it may be a model, and take its time
    if not isinstance(answer, Verdict):
        raise TypeError(f"a check returns a Verdict, not {type(answer).__name__}")
    return answer


def split_sentences(text: str, *, last: bool) -> tuple[list[str], str]:
    """(whole sentences, what is still open)."""
    sentences, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        sentences.append(text[start : end.end()])
        start = end.end()
    rest = text[start:]
    if last and rest:
        sentences.append(rest)
        rest = ""
    return [sentence for sentence in sentences if sentence.strip()], rest


def open_checks(paths: tuple[str, ...], setting: str) -> CheckStep | None:
    """The checks that a setting names; None: none. RuntimeError for one that cannot be loaded."""
    checks: dict[str, Check] = {path: load_callable(path, setting) for path in paths}  # type: ignore[misc]
    return functools.partial(_results, checks) if checks else None
