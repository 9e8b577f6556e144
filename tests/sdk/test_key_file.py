"""A key in a file that is replaced while the program runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import llmtrace
from llmtrace import config as configuration
from llmtrace.delivery.key_file import KeyFile
from llmtrace.testing import Answer, ReplayServer
from tests.spooled import without_reports

from .chat import PLAIN, REQUEST

OK = Answer(headers={"content-type": "application/x-protobuf"})
REFUSED = Answer(status=401, body=b"expired")


def _replace(path: Path, text: str) -> None:
    """As kubelet does: another file under the same name."""
    other = path.with_name("next")
    other.write_text(text)
    os.replace(other, path)


def _sent(path: Path, *answers: Answer, between: Callable[[], None]) -> list[str]:
    """The keys of the export requests for two calls, `between` which something happens."""
    with ReplayServer(PLAIN) as provider, ReplayServer(*answers) as collector:
        llmtrace.init(endpoint=collector.url, api_key_file=path, spool_dir="off")
        httpx.post(provider.url + "/v1/chat/completions", json=REQUEST)
        assert llmtrace.flush(10)
        between()
        httpx.post(provider.url + "/v1/chat/completions", json=REQUEST)
        assert llmtrace.flush(10)
        return [request.headers.get("authorization", "") for request in without_reports(collector.requests)]


def test_a_replaced_key_is_used_at_once(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    keys = _sent(path, OK, between=lambda: _replace(path, "second\n"))
    assert keys == ["Bearer first", "Bearer second"]


def test_a_key_that_has_ended_costs_no_batch(tmp_path: Path) -> None:
    """The next attempt has the next key."""
    path = tmp_path / "token"
    path.write_text("first")
    keys = _sent(path, OK, OK, REFUSED, OK, between=lambda: None)  # the second is for the counters
    assert keys == ["Bearer first"] * 3


def test_files_that_hold_no_key(tmp_path: Path) -> None:
    path = tmp_path / "token"
    file = KeyFile(str(path))
    with pytest.raises(FileNotFoundError):
        file.read()
    for text in ("", " \n", "two\nlines", "zwölf", "a b", "x" * 20_000, "nul\0"):
        path.write_text(text)
        with pytest.raises(ValueError, match="holds no key") as caught:
            file.read()
        assert not text.strip() or text not in str(caught.value)
    path.write_text("good")
    assert file.read() == "good"


def test_which_key_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("of-the-file")
    environ = {"LLMTRACE_API_KEY_FILE": str(path), "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20x"}
    delivery = configuration.resolve(environ=environ).delivery
    assert delivery.headers_now() == {"authorization": "Bearer of-the-file"}
    assert delivery.headers == {}, "the folder of the spool stays the same"
    named = configuration.resolve(environ={**environ, "LLMTRACE_API_KEY": "k"}).delivery
    assert named.headers_now() == {"authorization": "Bearer k"}
