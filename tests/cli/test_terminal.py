"""What the command line prints of texts that somebody sent: on a terminal, in files, in errors."""

from __future__ import annotations

import csv
import io
import json
import logging
import unicodedata
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrace_cli.query.output import write
from llmtrace_cli.stack.supervise import _Printer
from llmtrace_cli.terminal import Commands, say
from tests.hostile_text import PIECES, hostile


def steers(text: str) -> bool:
    """Whether anything but line feeds in a text moves the cursor, colours, reorders or hides."""
    return any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") for char in text if char != "\n")


def printed(frame: pd.DataFrame, fmt: str) -> str:
    """What a command prints for a frame."""

    @click.command()
    def show() -> None:
        write(frame, fmt, None)

    result = CliRunner().invoke(show)
    assert result.exit_code == 0, result.output
    return result.stdout


@settings(max_examples=60)
@given(st.lists(hostile, min_size=1, max_size=4))
def test_tables_keep_their_rows(names: list[str]) -> None:
    frame = pd.DataFrame({"model": names, "calls": range(len(names)), "cost": [-0.5] * len(names)})
    table = printed(frame, "table")
    assert not steers(table)
    assert len(table.rstrip("\n").split("\n")) == len(names) + 2
    assert [row["model"] for row in json.loads(printed(frame, "json"))] == names
    assert printed(frame, "json").isascii()
    rows = list(csv.reader(io.StringIO(printed(frame, "csv"), newline="")))
    assert [row[1:] for row in rows[1:]] == [[str(number), "-0.5"] for number in range(len(names))]


def test_csv_on_a_terminal_does_not_steer_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame({"user": ["\x1b]0;x\x07", "模型"]})
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    write(frame, "csv", None)
    assert capsys.readouterr().out == "user\n\\x1b]0;x\\x07\n模型\n"


def test_files_hold_what_was_sent(tmp_path: Path) -> None:
    write(pd.DataFrame({"user": ["\x1b=1", "=1"]}), "csv", tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == "user\n'\x1b=1\n'=1\n"


def test_lines_and_errors_do_not_steer() -> None:
    @click.group(cls=Commands)
    def cli() -> None:
        """All commands."""

    @cli.command()
    def fail() -> None:
        for piece in PIECES:
            say(f"line {piece}")
            say(f"error {piece}", err=True)
        raise click.ClickException("two\nlines " + "".join(PIECES))

    result = CliRunner().invoke(cli, ["fail"])
    assert result.exit_code == 1
    assert not steers(result.stdout)
    assert not steers(result.stderr)
    assert len(result.stdout.split("\n")) == len(PIECES) + 1
    assert "Error: two\nlines " in result.stderr
    unknown = CliRunner().invoke(cli, ["no\x1b[31msuch"])
    assert unknown.exit_code == 2
    assert not steers(unknown.stderr)


def test_lines_of_parts_are_shown_as_they_may_be() -> None:
    class Line:
        type, name, time, color = "line", "mlflow", None, None

        def __init__(self, data: bytes) -> None:
            self.data = data

        def _replace(self, data: str) -> Line:
            return Line(data.encode())

        colour = None

    out = io.StringIO()
    printer = _Printer(out)
    printer.prefix = False
    printer.write(Line(b"GET /\x1b[2J\xe2\x80\xae\r\n"))
    assert out.getvalue() == "GET /\\x1b[2J\\u202e\n"
    assert list(printer.last["mlflow"]) == ["GET /\\x1b[2J\\u202e"]


def test_a_part_logs_lines(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from llmtrace.common.log_lines import log_to_stderr

    monkeypatch.setattr(logging.root, "handlers", [])
    level = logging.root.level
    try:
        log_to_stderr(time=False)
        logging.getLogger("part").warning("user=%s", "\x1b[31m\n2026 ERROR forged")
    finally:
        logging.root.setLevel(level)
    assert capfd.readouterr().err == "WARNING part: user=\\x1b[31m\\n2026 ERROR forged\n"
