"""A part of `python -m tests.escapes` for every change, and that the harness itself sees what escapes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from .__main__ import attack, main, table
from .attack import Attack, all_escapes
from .honest import honest_lines
from .lines import Line, lines_of, own_lines, thinned
from .marks import Marks
from .scene import Scene, embedded

#: How many of the texts: what a change may break shows in a part of each kind.
_EVERY = {"embedded": 40, "server": 200}


@pytest.mark.parametrize("home", ["embedded", "server"])
def test_nothing_escapes_and_honest_queries_pass(home: str) -> None:
    lines = thinned((line for line in own_lines() if line.kind != "load"), _EVERY[home])
    outcome = attack(home, lines, thinned(honest_lines(), _EVERY[home] // 8))
    assert outcome.good, "\n".join(table(outcome))
    assert outcome.honest > 15
    assert sum(tally.answered for tally in outcome.tallies.values()) > 3


def test_there_are_enough_texts_of_every_kind() -> None:
    kinds = {line.kind for line in own_lines()}
    assert len(kinds) >= 16
    assert len(list(own_lines())) >= 1500
    assert len(list(honest_lines())) >= 400


def test_what_escapes_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its walls the product lets texts out, and each way out is told."""
    lines = [
        Line("SELECT UserId FROM otel_traces", "rows"),
        Line("SELECT hex(UserId) FROM otel_traces", "rows"),
        Line("SELECT count() FROM otel_traces", "rows"),
        Line("SELECT count() FROM otel_traces WHERE UserId LIKE '%{guess}%'", "oracles"),
        Line("SELECT 1 FROM otel_traces", "expectations", expect="refused"),
    ]
    with embedded(tmp_path / "scene") as scene:
        honest = Attack(scene, lines[:4], _quiet).run()
        assert all_escapes(honest.values()) == []
        _without_filters(scene, monkeypatch)
        tallies = Attack(scene, lines, _quiet).run()

    seen = [
        (escape.line.text, escape.where, escape.what.partition(":")[0])
        for escape in all_escapes(tallies.values())
    ]
    for line in lines[:2]:
        assert (line.text, "endpoint", "a marked word came out") in seen
        assert (line.text, "engine", "a marked word came out") in seen
    assert (lines[2].text, "endpoint", "the answer changed with the other project's rows") in seen
    assert (lines[3].text, "endpoint", "the answer tells a right guess from a wrong one") in seen
    assert (lines[4].text, "endpoint", "status 200, expected") in seen


def _without_filters(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every read be one of every project's, as if the engine had no filters."""
    engine = scene.store.engine
    whole: Callable[..., bytes] = engine.read

    def read(sql: str, params: object = None, fmt: str = "TabSeparated", project: str = "") -> bytes:
        return whole(sql, params, fmt, "")

    monkeypatch.setattr(engine, "read", read)


def _quiet(text: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize(
    "shape",
    ["{s}", "x{s}y", "{r}", "{h}", "{b}"],
)
def test_marks_are_found_in_other_shapes(shape: str) -> None:
    secret = "s0123456789abcdt"
    text = shape.format(
        s=secret.upper(),
        r=secret[::-1],
        h=secret.encode().hex().upper(),
        b=base64.b64encode(f"ab{secret}".encode()).decode(),
    )
    assert Marks([secret]).within(text.encode()) == secret
    assert Marks([secret]).within(b"nothing") == ""


def test_texts_of_others_need_a_text_alone(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(
        '{"text": "SELECT 1"}\n\n{"text": "SELECT {R}1", "kind": "deep", "repeat": {"R": ["(", 3]}}\n'
    )
    assert list(lines_of(file)) == [Line("SELECT 1"), Line("SELECT (((1", "deep")]
    file.write_text('{"query": "SELECT 1"}\n')
    with pytest.raises(ValueError, match=r"texts\.jsonl, line 1"):
        list(lines_of(file))
    with pytest.raises(ValueError, match="line 1"):
        main(["--file", str(file)])
