"""The documentation is about this repository: paths, links, commands and modules that it names are there, the
pages that are made from the code are fresh, and every page can be reached from docs/index.md.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from llmtrace_cli.main import cli
from llmtrace_collector.pricing.charges import BUCKETS
from llmtrace_collector.store import table_reference
from llmtrace_collector.store.catalogue import READABLE
from tests.cli import command_reference
from tests.collector import bucket_reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
#: It tells of names as they were.
CHANGELOG = ROOT / "CHANGELOG.md"
FOLDERS = (
    "benchmarks",
    "cli",
    "collector",
    "dashboard",
    "docker",
    "docs",
    "inference",
    "scripts",
    "sdk",
    "tests",
)

#: Files that pages speak of and that the reader has, not the repository.
OF_THE_READER = {"llmtrace.toml"}

_FILE = re.compile(r"[\w./*-]*[\w*]\.(?:py|sql|md|toml|txt|in|lock|proto|yml|html)")
_FOLDER = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?")
_COMMAND = re.compile(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?llmtrace((?: +[^\s#|>()]+)+)")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def label(page: Path) -> str:
    """A page's name in test ids."""
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The text without its code blocks, and without the glossary, whose names have a test of their own."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    if page.name == "CONTRIBUTING.md":
        before, _, rest = text.partition("\n### Glossary\n")
        text = before + rest.partition("\n## ")[2]
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def quoted(page: Path) -> list[str]:
    """What stands in backticks in the prose."""
    return [re.sub(r"\s+", " ", item) for item in re.findall(r"`([^`]+)`", prose(page))]


def blocks(page: Path) -> Iterator[str]:
    """The lines of code blocks, fenced or indented."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        yield from match.group().splitlines()[1:-1]
    yield from (line.strip() for line in _FENCE.sub("", text).splitlines() if line.startswith("    "))


@cache
def tree() -> tuple[Path, ...]:
    """Every file and folder of the repository, relative to it."""
    top = [path for path in ROOT.iterdir() if path.is_file() or path.name in FOLDERS]
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return tuple(path.relative_to(ROOT) for path in [*top, *below] if "__pycache__" not in path.parts)


def is_there(name: str) -> bool:
    """Whether a path, or the end of one, is a file or folder of the repository."""
    return any(path.match(name.strip("/")) for path in tree())


def is_path(name: str) -> bool:
    """Whether something in backticks looks like a path of the repository."""
    if name in OF_THE_READER:
        return False
    if _FILE.fullmatch(name):
        return True
    first, slash, _ = name.partition("/")
    return bool(slash and _FOLDER.fullmatch(name)) and (first in FOLDERS or first.startswith("llmtrace_"))


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*?) *$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    earlier: Counter[str] = Counter()
    anchors = set()
    for slug in plain:
        anchors.add(f"{slug}-{earlier[slug]}" if earlier[slug] else slug)
        earlier[slug] += 1
    return anchors


def links(page: Path) -> list[str]:
    """The targets of links and images that are no addresses of the web."""
    text = re.sub(r"`[^`]*`", "", _FENCE.sub("", page.read_text(encoding="utf-8")))
    targets = re.findall(r"\]\(([^()\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: +(\S+)", text, re.MULTILINE)
    return [target for target in targets if "://" not in target]


def leads_nowhere(page: Path, target: str) -> bool:
    """Whether a link's file or anchor is not there."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists() or not file.is_relative_to(ROOT):
        return True
    return bool(anchor) and (file.suffix != ".md" or anchor not in slugs(file))


def modules(text: str) -> list[str]:
    """Modules of ours that a text names in full, or runs."""
    named = re.findall(r"\bpython -m ((?:tests|benchmarks|llmtrace_\w+)(?:\.\w+)*)", text)
    return named + re.findall(r"^(llmtrace_[a-z]+(?:\.\w+)+)$", text)


def is_importable(name: str) -> bool:
    """Whether a dotted name is a module's, or of something that a module defines."""
    for depth in range(len(parts := name.split(".")), 0, -1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:depth]))
        except ModuleNotFoundError:
            continue
        if spec is not None:
            rest = parts[depth:]
            defined = Path(spec.origin or "").read_text(encoding="utf-8") if spec.origin else ""
            return not rest or bool(
                re.search(rf"^(?:class|def|async def)? ?{rest[0]}\b", defined, re.MULTILINE)
            )
    return False


def unknown_word(line: str) -> str | None:
    """The subcommand or option that the program does not have, of a line that runs it."""
    match = _COMMAND.match(line.strip())
    words = iter(match.group(1).split()) if match else iter(())
    command: click.Command = cli
    for word in words:
        if word == "--":
            return None  # what follows are no options
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            options = {option: item for item in command.params for option in item.opts}
            if name not in options and name not in ("--help", "--version"):
                return word
            if not equals and not getattr(options.get(name), "is_flag", True):
                next(words, None)
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return word
            command = command.commands[word]
    return None


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_what_a_page_names_is_there(page: Path) -> None:
    code, lines = quoted(page), list(blocks(page))
    assert [name for name in code if is_path(name) and not is_there(name)] == []
    assert [item for item in [*code, *lines] for name in modules(item) if not is_importable(name)] == []
    assert [line for line in [*code, *lines] if unknown_word(line)] == []


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG], ids=label)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert [target for target in links(page) if leads_nowhere(page, target)] == []


def test_what_is_not_there_is_noticed() -> None:
    assert is_path("store/query_guard/guard.py")
    assert is_there("store/query_guard/guard.py")
    assert is_path("collector/llmtrace_collector/store/schema")
    assert is_path("store/dialects.py")
    assert not is_there("store/dialects.py")
    assert not is_path("anthropic/claude-sonnet-4.5")
    assert not is_path("llmtrace.toml")
    assert is_importable("llmtrace_collector.store.query_guard.guard.make_safe")
    assert not is_importable("llmtrace_collector.store.guard")
    assert modules("python -m tests.crash --rounds 50") == ["tests.crash"]
    readme = ROOT / "README.md"
    assert not leads_nowhere(readme, "docs/sdk.md#settings")
    assert leads_nowhere(readme, "docs/sdk.md#no-such-heading")
    assert leads_nowhere(readme, "docs/no_such_page.md")
    assert leads_nowhere(readme, "../elsewhere.md")
    assert len(links(readme)) > 10
    assert unknown_word("llmtrace --config x.toml cost prices set openai/gpt-4o --input 1") is None
    assert unknown_word("llmtrace cost princes") == "princes"
    assert unknown_word("$ llmtrace up --no-such-option") == "--no-such-option"


def test_the_map_names_every_page_once() -> None:
    """docs/index.md those of docs/, docs/decisions/index.md the decisions."""
    for index in (DOCS / "index.md", DOCS / "decisions" / "index.md"):
        pages = {page.name for page in index.parent.glob("*.md")} - {"index.md"}
        named = Counter(target for target in links(index) if "/" not in target and "#" not in target)
        assert {name for name in pages if named[name] != 1} == set()


def test_the_reference_of_commands_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it fails: `python -m tests.cli.command_reference > docs/cli.md`."""
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert page == command_reference.reference()
    # Nor does it depend on who makes it.
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "LLMTRACE_DATA_DIR": "/elsewhere"}.items():
        monkeypatch.setenv(name, value)
    assert page == command_reference.reference()
    assert "\x1b" not in page


def test_the_table_of_buckets_is_fresh() -> None:
    """When it fails: `python -m tests.collector.bucket_reference`, and the example of prices below it."""
    page = bucket_reference.PAGE.read_text(encoding="utf-8")
    assert bucket_reference.written(page) == bucket_reference.table()
    assert [bucket.setting for bucket in BUCKETS if f"\n{bucket.setting} = " not in page] == []


def test_the_reference_of_tables_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it fails: `llmtrace store reference > docs/tables.md`."""
    monkeypatch.setenv("COLUMNS", "40")
    page = (DOCS / "tables.md").read_text(encoding="utf-8")
    assert page == table_reference.reference()
    assert {f"## {name}" for name in READABLE} <= set(page.splitlines())
    (tokens,) = (line for line in page.splitlines() if line.startswith("| `InputTokens` | `Nullable"))
    assert "| tokens |" in tokens
    assert tokens.endswith("| `gen_ai.usage.input_tokens` |")
