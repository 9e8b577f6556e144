"""ClickHouse's HTTP interface in front of the embedded engine, as much of it as clients use.

python -m tests.collector.clickhouse PORT DIRECTORY [one-node] [walled]

With `one-node` it takes the statements of a cluster, without what needs more than one process: ON CLUSTER is
left out, Replicated tables are plain ones, and a Distributed table is a Merge over the one shard.

`walled` holds readers to their rows as the embedded store does. The engine here knows no row policies of
users: it takes the same conditions as filters by the setting `log_comment`, which the collector sends with
every read.
"""

from __future__ import annotations

import gzip
import importlib
import os
import re
import subprocess
import sys
import tempfile
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from llmtrace_collector.sql_values import literal
from llmtrace_collector.store.access_control import CONFIG, write_configuration
from llmtrace_collector.store.engine import DATABASE, PROJECT_SETTING

from .running import free_port, until

_NOT_SETTINGS = {"query", "database", "user", "password", "session_id", "query_id", "compress", "decompress"}
_NOT_SETTINGS |= {"default_format", "client_protocol_version", "quota_key", "role", "wait_end_of_query"}
# Custom settings are a server's alone.
_NOT_SETTINGS |= {PROJECT_SETTING}


def on_one_node(text: str) -> str:
    """A cluster's statement as one node without a Keeper can run it."""
    text = re.sub(r" ON CLUSTER \w+", "", text)
    text = re.sub(r"ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, )?", r"ENGINE = \1(", text)
    text = re.sub(r"ENGINE = Distributed\(\w+, (\w+), (\w+)\)", r"ENGINE = Merge('\1', '^\2$')", text)
    return text.replace(
        "replicated_deduplication_window = ", "non_replicated_deduplication_window = "
    ).replace("non_non_", "non_")


def handler(directory: Path, one_node: bool = False, walled: bool = False) -> type[BaseHTTPRequestHandler]:
    """The handler of requests over the engine in `directory`; each request has a handle of its own."""
    import chdb

    connect: Callable[[str], Any] = chdb.connect
    place = str(directory)
    if walled:
        write_configuration(directory, str(directory))
        place += f"?config-file={directory / CONFIG}"
    # The engine ends with its last handle: one stays.
    open_handle: Any = connect(place)
    if walled:
        open_handle.query(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if self.path == "/ping":
                return self._answer(200, b"Ok.\n", {})
            return self._query()

        def do_POST(self) -> None:
            return self._query()

        def _query(self) -> None:
            address = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            encoding = self.headers.get("content-encoding", "")
            if encoding == "gzip":
                body = gzip.decompress(body)
            elif encoding == "deflate":
                body = zlib.decompress(body)
            text = address.get("query", "")
            if not text:
                insert = re.match(rb"\s*INSERT\s[^\n]*\sFORMAT\s+\w+[ \t]*\n", body, re.IGNORECASE)
                end = insert.end() if insert else len(body)
                text, body = body[:end].decode(), body[end:]
            if one_node:
                text = on_one_node(text)
            fmt = address.get("default_format") or self.headers.get("x-clickhouse-format") or "TabSeparated"
            asked = re.search(r"\sFORMAT\s+(\w+)\s*;?\s*$", text)
            params = {name[6:]: value for name, value in address.items() if name.startswith("param_")}
            handle = connect(place)
            try:
                if address.get("database"):
                    handle.query(f"USE {address['database']}")
                for name, value in address.items():
                    if name not in _NOT_SETTINGS and not name.startswith("param_"):
                        handle.query(f"SET {name} = {literal(value)}")
                if body and re.match(r"\s*INSERT\b", text, re.IGNORECASE):
                    data = self._insert(handle, text, body)
                else:
                    result = handle.query(text, asked.group(1) if asked else fmt, params=params)
                    data = result.bytes() or b""
            except RuntimeError as error:
                code = re.search(r"Code: (\d+)", str(error))
                headers = {"X-ClickHouse-Exception-Code": code.group(1) if code else "1000"}
                return self._answer(500, str(error).encode(), headers)
            finally:
                handle.close()
            return self._answer(200, data, {"X-ClickHouse-Format": asked.group(1) if asked else fmt})

        def _insert(self, handle: Any, text: str, body: bytes) -> bytes:
            inline = re.search(r"^(.*?)\bFORMAT\s+(\w+)\s*$", text, re.IGNORECASE | re.DOTALL)
            assert inline is not None, text
            with tempfile.NamedTemporaryFile() as file:
                file.write(body)
                file.flush()
                handle.query(f"{inline.group(1)} FROM INFILE '{file.name}' FORMAT {inline.group(2)}")
            return b""

        def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {
                "X-ClickHouse-Server-Display-Name": "tests",
                "X-ClickHouse-Query-Id": str(uuid.uuid4()),
                "X-ClickHouse-Timezone": "UTC",
                "X-ClickHouse-Summary": "{}",
                "Content-Type": "application/octet-stream",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    assert open_handle is not None
    Handler.open_handle = open_handle  # type: ignore[attr-defined]
    return Handler


@contextmanager
def clickhouse_server(directory: Path, *options: str) -> Iterator[str]:
    """A server in a process of its own, and its address `127.0.0.1:PORT`."""
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.collector.clickhouse", port, str(directory), *options]
    process = subprocess.Popen(command)

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://{address}/ping").status_code == 200
        return False

    try:
        until(answers, 30, "the server")
        yield address
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    data = Path(sys.argv[2]).absolute()
    data.mkdir(parents=True, exist_ok=True)
    # Its import reads a config.xml where the process is.
    importlib.import_module("chdb")
    # A server keeps the schemas that come with inserts among its data; the embedded engine, where it runs.
    os.chdir(data)
    served = handler(data, "one-node" in sys.argv[3:], "walled" in sys.argv[3:])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), served).serve_forever()
