"""Text that leaves: nothing in it does anything, judged by somebody else's reader where there is one."""

from __future__ import annotations

import csv
import io
import logging
import unicodedata

import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llmtrace.common.escaping import (
    csv_cell,
    csv_document,
    from_csv_cell,
    markdown_text,
    visible,
    visible_lines,
)
from llmtrace.common.log_lines import LineFormatter
from tests.hostile_text import PIECES, hostile, hostile_with_halves

_STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def steers(text: str) -> bool:
    """Whether a character of the text moves a cursor, begins a line, turns text around or is not seen."""
    return any(unicodedata.category(char) in _STEERING for char in text)


@given(hostile_with_halves)
@example("\x1b[31mred\x9b0m\u202e\n")
def test_a_terminal_gets_one_plain_line(text: str) -> None:
    line = visible(text)
    assert not steers(line)
    assert len(line.splitlines()) <= 1
    line.encode()
    # It still says what was there.
    assert visible(line) == line
    plain = "".join(char for char in text if unicodedata.category(char) not in _STEERING)
    assert plain == text or len(line) > len(plain)
    assert visible_lines(f"{line}\n{text}").split("\n")[0] == line


def test_text_of_every_script_stays_as_it_is() -> None:
    for text in ("模型 用户　张三", "naïve Ünïcödé", "🙂 café", "العربية", "a\u00a0b"):
        assert visible(text) == text
    assert visible("\x1b\x07\x9b\u202e\ud800\n") == r"\x1b\x07\x9b\u202e\ud800\n"


@given(st.lists(st.tuples(hostile, st.integers(), st.floats(allow_nan=False), hostile), max_size=5))
@example([("\r=1", -5, -0.5, '"\n')])
def test_a_spreadsheet_gets_cells_and_no_formulas(rows: list[tuple[str, int, float, str]]) -> None:
    document = csv_document(["=name", "count", "share", "note"], rows)
    read = list(csv.reader(io.StringIO(document, newline="")))
    assert len(read) == len(rows) + 1
    assert read[0] == ["'=name", "count", "share", "note"]
    for sent, cells in zip(rows, read[1:], strict=True):
        assert len(cells) == 4
        # Numbers stay numbers, the negative ones too.
        assert (int(cells[1]), float(cells[2])) == (sent[1], sent[2])
        for text, cell in ((sent[0], cells[0]), (sent[3], cells[3])):
            assert cell == text or cell == f"'{text}"
            seen = "".join(char for char in cell if not steers(char) and not char.isspace())
            assert seen[:1] not in set("=+-@＝＋－＠")
            assert cell[:1] not in set("\t\r\n")
    # Another reader finds the same cells.
    frame = pd.read_csv(io.StringIO(document, newline=""), dtype=str, keep_default_na=False, engine="python")
    assert len(frame) == len(rows)


@given(hostile)
def test_a_file_of_ours_is_read_back_as_it_was(text: str) -> None:
    back = from_csv_cell(csv_cell(text))
    assert back == text or (text.startswith("'") and back == text[1:])
    assert from_csv_cell(-5) == -5


def test_cells_that_do_nothing_stay_as_they_are() -> None:
    for value in ("gpt-4o", "a=b", "ann@example.org", "1+1", "'=1", "", 5, -5, -0.25, True, None):
        assert csv_cell(value) == ("" if value is None else value)
    assert csv_cell("@cf/meta/llama") == "'@cf/meta/llama"
    assert csv_cell("\u200b =1") == "'\u200b =1"


_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@given(hostile)
@example("![x](http://evil.example/i.png)")
@example("# h\n- l\n| a |\n|---|")
@example("<!--")
def test_markdown_says_it_and_nothing_else(text: str) -> None:
    tokens = _MARKDOWN.parse(f"x {markdown_text(text)} y")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    flat = " ".join(text.split())
    assert "".join(child.content for child in children) == f"x {visible(flat)} y"
    # What Streamlit and chats read into text besides: formulas, directives, HTML.
    assert not set("$<>") & set(markdown_text(text))
    assert ":red[" not in markdown_text(text)


@given(hostile_with_halves, hostile_with_halves)
def test_a_log_has_a_line_for_each_record(message: str, raised: str) -> None:
    formatter = LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    record = logging.LogRecord("part", logging.ERROR, "", 0, "user=%s", (message,), None)
    line = formatter.format(record)
    assert not steers(line)
    assert len(line.splitlines()) == 1
    error = ValueError(raised)
    failed = logging.LogRecord(
        "part", logging.ERROR, "", 0, message, None, (ValueError, error, None), sinfo=raised
    )
    first, *others = formatter.format(failed).split("\n")
    assert first.endswith(visible(message))
    assert others
    assert all(other.startswith("    | ") for other in others)
    assert not any(steers(other) for other in others)


def test_every_piece_does_something_somewhere() -> None:
    """The alphabet is hostile: without the functions, most of it would get through one exit or another."""
    changed = [
        piece for piece in PIECES
        if visible(piece) != piece or csv_cell(piece) != piece or markdown_text(piece) != piece
    ]  # fmt: skip
    assert len(changed) > len(PIECES) * 0.7
