"""Attribute names are written once: what packages share in `llmtrace.semconv`, all else in one package."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEMCONV = ROOT / "sdk/llmtrace/semconv.py"
PACKAGES = {
    path.name: path
    for path in sorted(ROOT.glob("*/llmtrace*"))
    if path.parent.name in ("sdk", "collector", "inference", "dashboard", "cli")
}

#: What an attribute's name looks like, in whole or in quotes within a text of SQL. Prefixes end in a dot.
NAME = re.compile(r"[a-z_]+(?:\.[a-z0-9_]+)+")
QUOTED = re.compile(rf"'({NAME.pattern})'")
OURS = re.compile(r"(gen_ai|llmtrace)\.")
#: A file, options of Streamlit's and a provider in the table of them, which look like attributes.
NO_ATTRIBUTES = {
    ("aws.bedrock", "llmtrace"),
    ("llmtrace.toml", ""),
    ("server.address", "llmtrace_dashboard"),
    ("server.port", "llmtrace_dashboard"),
}


def constants(tree: ast.Module) -> Iterator[ast.Constant]:
    """The texts of a module, but those that stand alone, as docstrings do."""
    alone = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node


def names_in(text: str) -> list[str]:
    """Attribute names in a constant."""
    return [text] if NAME.fullmatch(text) else QUOTED.findall(text)


def is_module(name: str) -> bool:
    path = ROOT / "sdk" / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


@cache
def places() -> dict[str, dict[str, list[str]]]:
    """Name → package → where it is written there, outside of semconv."""
    written: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if path == SEMCONV:
                continue
            for node in constants(ast.parse(path.read_text())):
                assert isinstance(node.value, str)
                for name in names_in(node.value):
                    if not is_module(name) and not {(name, package), (name, "")} & NO_ATTRIBUTES:
                        written[name][package].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return written


SHARED = sorted(
    {
        node.value
        for node in constants(ast.parse(SEMCONV.read_text()))
        if isinstance(node.value, str) and NAME.fullmatch(node.value)
    }
)


def test_the_names_are_read() -> None:
    assert len(PACKAGES) == 6
    assert {"gen_ai.request.model", "llmtrace.project", "user.id"} <= set(SHARED)
    assert "gen_ai.latency.e2e" in places()
    assert names_in("SpanAttributes['gen_ai.system'] != '' AND x = 'a.b '") == ["gen_ai.system"]


@pytest.mark.parametrize("package", PACKAGES)
def test_names_of_semconv_are_written_nowhere_else(package: str) -> None:
    again = {name: places()[name][package] for name in SHARED if package in places().get(name, {})}
    assert again == {}, "say llmtrace.semconv.… instead"


def test_names_of_two_packages_stand_in_semconv() -> None:
    twice = {
        name: dict(packages) for name, packages in places().items() if OURS.match(name) and len(packages) > 1
    }
    assert twice == {}, "put it into llmtrace.semconv"
