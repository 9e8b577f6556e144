"""A pytest plugin that writes down every query that llmtrace's own parts ask while their tests run.

LLMTRACE_RECORDED=FILE python -m pytest -p tests.escapes.recorder tests/dashboard …
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from urllib3.poolmanager import PoolManager

#: Names the file of the lines; one query a line, as `python -m tests.escapes --file` reads them.
FILE = "LLMTRACE_RECORDED"

_texts: dict[str, dict[str, str]] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Wrap the one method by which clickhouse-connect sends anything."""
    send: Callable[..., Any] = PoolManager.request

    def noted(self: PoolManager, method: str, url: str, *rest: Any, **named: Any) -> Any:
        _note(url, named.get("body"), named.get("fields"))
        return send(self, method, url, *rest, **named)

    PoolManager.request = noted  # type: ignore[assignment, method-assign]


def _note(url: str, body: object, fields: object) -> None:
    address = urlsplit(url)
    if "/clickhouse" not in address.path:
        return
    values = dict(parse_qsl(address.query, keep_blank_values=True))
    if isinstance(fields, dict):
        values.update(
            {name: value[-1] if isinstance(value, tuple) else value for name, value in fields.items()}
        )
    text = body.decode() if isinstance(body, bytes) else body if isinstance(body, str) else ""
    text = re.sub(r"\s*FORMAT Native\s*$", "", text or str(values.get("query", ""))).strip()
    params = {name[6:]: str(value) for name, value in values.items() if name.startswith("param_")}
    _texts.setdefault(text, params)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the lines, in the order of their texts."""
    lines = [
        json.dumps({"kind": "llmtrace", "text": text, "params": params}, ensure_ascii=False)
        for text, params in sorted(_texts.items())
        if text
    ]
    Path(os.environ[FILE]).write_text("\n".join(lines) + "\n")


def pack(lines: Path, packed: Path) -> None:
    """Put recorded lines into a compressed file, each text once however it was laid out."""
    texts: dict[str, str] = {}
    for line in lines.read_text().splitlines():
        values = json.loads(line)
        values["text"] = " ".join(values["text"].split())
        texts.setdefault(values["text"], json.dumps({**values, "expect": "answered"}))
    with packed.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write("\n".join(texts.values()).encode())
