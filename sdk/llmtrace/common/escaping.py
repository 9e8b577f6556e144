"""How text that somebody sent leaves for a terminal, a log, a CSV file or Markdown: one function each.

What a text says stays to be read; what a reader's program would do with it does not happen.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

#: What makes a spreadsheet take a cell for a formula, also as full-width characters.
_FORMULA: Final = frozenset("=+-@＝＋－＠")

#: Characters that mean something in Markdown, of which a backslash takes the meaning in every dialect.
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:@/])")
#: Those that it does not take in all: HTML, and the dollar that begins a formula.
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"})


def visible(text: str) -> str:
    r"""`text` with escapes (`\x1b`, `\u202e`, `\n`) for whatever would move the cursor, colour the terminal,
    begin a line, turn the text around, or not be seen at all. The result has a single line.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or unicodedata.category(char) == "Zs"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def visible_lines(text: str) -> str:
    """The same of a text whose line feeds are meant as such."""
    return "\n".join(visible(line) for line in text.split("\n"))


def csv_cell(value: object) -> object:
    """A value for a cell of CSV: text that a spreadsheet would run as a formula begins with an apostrophe.

    Numbers stay numbers; what is not known is empty.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    # What is not seen before the sign, a spreadsheet may skip.
    first = next((char for char in value if char.isprintable() and not char.isspace()), "")
    return f"'{value}" if first in _FORMULA or value[:1] in ("\t", "\r", "\n") else value


def from_csv_cell(value: object) -> object:
    """What `csv_cell` made a cell of, for files of ours that come back."""
    if isinstance(value, str) and value[:1] == "'" and csv_cell(value[1:]) == value:
        return value[1:]
    return value


def csv_document(names: Sequence[object], rows: Iterable[Iterable[object]]) -> str:
    """CSV: a line of names and one for each row, ended by line feeds; every cell goes through `csv_cell`."""
    out = io.StringIO()
    for row in (names, *rows):
        # A carriage return in the terminator is what lets one in a cell be quoted.
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow([csv_cell(value) for value in row])
        out.write(line.getvalue()[:-2] + "\n")
    return out.getvalue()


def markdown_text(text: str) -> str:
    """`text` as plain words inside Markdown: on one line, without markup, links, formulas or HTML."""
    flat = visible(" ".join(text.split()))
    return _MARKDOWN.sub(r"\\\1", flat).translate(_ENTITIES)
