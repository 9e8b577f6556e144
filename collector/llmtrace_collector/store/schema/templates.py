"""SQL from the files in `sql/`: Jinja templates, which Python fills with data and with names of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from llmtrace_collector.attributes.field import alternatives
from llmtrace_collector.sql_values import literal

#: Characters after which a list of literals goes on on the next line.
_LINE = 90

FOLDER = Path(__file__).parent / "sql"


class _CompiledTemplates(FileSystemBytecodeCache):
    """Templates as Jinja compiled them, where Python has the modules that it compiled: to compile them again
    takes longer than to open a store. Where that may not be written, they are compiled at each start.
    """

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep one template's code, if that can be."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


@cache
def environment() -> Environment:
    """Jinja over `sql/`: a missing value is an error, and lines that hold a tag alone leave nothing."""
    jinja = Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701, SQL and no HTML: values go through `literal`
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_CompiledTemplates(str(FOLDER.parent / "__pycache__"), "jinja-%s.cache"),
    )
    jinja.filters["literal"] = literal
    jinja.filters["literals"] = _wrapped_literals
    jinja.filters["alternatives"] = alternatives
    jinja.filters["snake"] = _snake
    return jinja


def _wrapped_literals(texts: Iterable[str]) -> str:
    """Literals with commas between, on lines that can be read."""
    lines = [""]
    for text in map(literal, texts):
        lines[-1] += f"{text}, "
        if len(lines[-1]) > _LINE:
            lines.append("")
    return "\n".join(line.rstrip() for line in lines if line).removesuffix(",")


def _snake(name: str) -> str:
    """A column or an attribute as a part of a function's name: `ai.operationId` is `ai_operation_id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace(".", "_").lower()


def render(name: str, **values: object) -> str:
    """The text of the template `sql/<name>`. Raises jinja2.UndefinedError for a value that is missing."""
    return environment().get_template(name).render(**values)


def names(folder: str) -> list[str]:
    """The files of a folder of `sql/`, by name, without their ending."""
    return sorted(file.stem for file in (FOLDER / folder).glob("*.sql"))


def statements(text: str) -> list[str]:
    """The statements of a rendered file, which `;` at a line's end divides, without lines of comment."""
    full = (line.rstrip() for line in text.splitlines())
    lines = [line for line in full if line and not line.lstrip().startswith("--")]
    return [part.strip().removesuffix(";") for part in "\n".join(lines).split(";\n") if part.strip()]
