"""docs/operations.md lists each reason that readiness can give, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def codes_in(text: str) -> Iterator[str]:
    """The codes of the reasons that a source text makes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "HealthReason":
            first = node.args[0] if node.args else next(k.value for k in node.keywords if k.arg == "code")
            assert isinstance(first, ast.Constant), "a code is written out where the reason is made"
            yield str(first.value)


def test_every_reason_is_listed_and_nothing_else() -> None:
    sources = [file for part in ("sdk", "collector", "dashboard") for file in (ROOT / part).rglob("*.py")]
    codes = {code for file in sources for code in codes_in(file.read_text())}
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("\n## What each reason means\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)
    assert len(codes) >= 10
    assert sorted(listed) == sorted(codes)


def test_a_code_is_read_from_either_argument() -> None:
    assert list(codes_in("HealthReason('a-b', text)\nHealthReason(text=t, code='c')")) == ["a-b", "c"]
