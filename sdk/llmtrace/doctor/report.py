"""The results of checks as lines or as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Final

import click

from llmtrace.common.terminal import say

from .result import Result, Status

_MARK: Final[dict[Status, tuple[str, str]]] = {
    "ok": ("ok", "green"),
    "warn": ("warn", "yellow"),
    "fail": ("FAIL", "red"),
    "skip": ("skip", "bright_black"),
}


def print_results(results: Sequence[Result], *, as_json: bool) -> int:
    """Print them on standard output; the exit status, 1 where a check failed."""
    failed = [result for result in results if result.status == "fail"]
    if as_json:
        rows = [dataclasses.asdict(result) for result in results]
        click.echo(json.dumps({"ok": not failed, "checks": rows}, indent=2))
    else:
        for result in results:
            _print(result)
        say("")
        say(f"{len(failed)} of {len(results)} checks failed" if failed else "nothing is wrong")
    return 1 if failed else 0


def _print(result: Result) -> None:
    mark, colour = _MARK[result.status]
    click.secho(mark.ljust(5), fg=colour, nl=False)
    say(f"{result.name.ljust(20)} {result.detail}")
    if result.remedy:
        say(f"{' ' * 26}→ {result.remedy}")
