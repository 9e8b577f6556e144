"""Names are the glossary's: words that went do not come back, and what the glossary names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("sdk", "collector", "inference", "dashboard", "cli")
PLACES = (*PARTS, "tests", "benchmarks")
WORDS = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Words\n")[2].partition("\n## ")[0]


def rows(columns: int) -> list[list[str]]:
    """The cells of every table row in the section on words that has so many columns."""
    lines = [line.strip("| ") for line in WORDS.splitlines() if line.startswith("| ")]
    cells = [re.split(r" \| ", line) for line in lines]
    return [row for row in cells if len(row) == columns and row[0] != "word"]


def quoted(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


ANYWHERE = {word for word, where, _ in rows(3) if where == "anywhere" for word in quoted(word)}
ALONE = {word for word, where, _ in rows(3) if where == "alone" for word in quoted(word)}
GLOSSARY = [(word, quoted(now), quoted(former)) for word, _, now, former in rows(4)]


@dataclass(frozen=True)
class Name:
    """A name as it is bound somewhere."""

    text: str
    kind: str
    place: str

    @property
    def words(self) -> set[str]:
        """Its parts in lower case: `_LogFull2` is log, full, 2."""
        return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", self.text)}


def names_in(text: str, place: str) -> Iterator[Name]:
    """Every name that a source text binds, but those of tests, which are sentences."""
    for node in ast.walk(ast.parse(text)):
        where = f"{place}:{getattr(node, 'lineno', 1)}"
        match node:
            case ast.ClassDef(name=name):
                yield Name(name, "class", where)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("test_"):
                    yield Name(name, "function", where)
            case ast.arg(arg=name):
                yield Name(name, "variable", where)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield Name(name, "variable", where)
            case ast.ExceptHandler(name=str(name)) | ast.alias(asname=str(name)):
                yield Name(name, "variable", where)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield Name(name, "variable", where)


def every_name() -> Iterator[Name]:
    """Those of all files, and the files' own."""
    for place in PLACES:
        for file in sorted((ROOT / place).rglob("*.py")):
            relative = file.relative_to(ROOT)
            for part in relative.with_suffix("").parts[1:]:
                yield Name(part, "module", str(relative))
            yield from names_in(file.read_text(), str(relative))


def is_gone(name: Name) -> bool:
    """Whether the table of words says that no name may be like this."""
    if name.words & ANYWHERE:
        return True
    return name.kind == "variable" and (name.text in ALONE or name.text.strip("_") in ALONE)


def test_no_name_holds_a_word_that_went() -> None:
    gone = sorted({f"{name.place}: {name.kind} {name.text}" for name in every_name() if is_gone(name)})
    assert not gone, "\n".join(gone)


def test_the_table_is_read() -> None:
    """It is there, and it catches what it should and nothing else."""
    assert {
        "leaf",
        "crossing",
        "lookout",
        "outlet",
        "told",
        "door",
        "dissection",
        "riders",
        "course",
    } <= ANYWHERE
    assert {"given", "made", "_turn"} <= ALONE
    text = "class DoorKeeper: ...\ndef f(told, given): found = given\n"
    assert sorted(name.text for name in names_in(text, "x") if is_gone(name)) == [
        "DoorKeeper",
        "found",
        "given",
        "told",
    ]
    allowed = "def put_text(given_names, outdoors, message_turn): lookback = given_names\n"
    assert not [name.text for name in names_in(allowed, "x") if is_gone(name)]


@cache
def defined() -> dict[str, set[str]]:
    """Each module of ours, packages too → the names that it defines at its top."""
    modules: dict[str, set[str]] = {}
    for part in PARTS:
        for file in (ROOT / part).rglob("*.py"):
            parts = file.relative_to(ROOT / part).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            body = ast.parse(file.read_text()).body
            modules[module] = {
                node.name
                for node in body
                if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return modules


def exists(qualified: str) -> bool:
    """Whether a module, or a class or function of a module, has this name."""
    module, _, name = qualified.rpartition(".")
    return qualified in defined() or name in defined().get(module, set())


@pytest.mark.parametrize(("word", "present", "former"), GLOSSARY, ids=[word for word, _, _ in GLOSSARY])
def test_the_glossary_names_what_is_there(word: str, present: list[str], former: list[str]) -> None:
    assert present
    assert [name for name in present if not exists(name)] == []
    assert [name for name in former if exists(name)] == []
    # Nor under the former name in the new place.
    modules = {name if name in defined() else name.rpartition(".")[0] for name in present}
    lost = {name.rpartition(".")[2] for name in former} - {name.rpartition(".")[2] for name in present}
    classes = {name for name in lost if name[0].isupper()}
    assert [f"{module}.{name}" for module in modules for name in classes & defined()[module]] == []


def test_the_glossary_is_read() -> None:
    assert len(GLOSSARY) > 50
    assert exists("llmtrace.capture.llm_span.LlmSpan")
    assert exists("llmtrace.spans")
    assert not exists("llmtrace.leaf")
    assert not exists("llmtrace.capture.llm_span.LeafSpan")
