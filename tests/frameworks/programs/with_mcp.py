"""An MCP client or server, in the first or the second version of its package.

with_mcp.py client stdio|http: an agent that asks for the tools, calls two of them, the second of which fails,
and calls one within a tool of its own. with_mcp.py server stdio|http [PORT]: what it asks. The server writes
its spans to SPANS_FILE, the client prints both.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import llmtrace
from llmtrace.testing import Captured, capture

CONTENT = os.environ.get("CAPTURE_CONTENT") != "no"


def rows(traces: Captured) -> list[dict[str, Any]]:
    """The spans as JSON."""
    spans = []
    for span in traces.spans():
        context, scope = span.get_span_context(), span.instrumentation_scope
        assert context is not None
        spans.append(
            {
                "name": span.name,
                "kind": span.kind.name,
                "trace": f"{context.trace_id:032x}",
                "span": f"{context.span_id:016x}",
                "parent": f"{span.parent.span_id:016x}" if span.parent else None,
                "attributes": dict(span.attributes or {}),
                "status": span.status.status_code.name,
                "scope": scope.name if scope else "",
            }
        )
    return spans


def server(transport: str, port: str = "0") -> None:
    """Serve until it is told to stop."""
    try:
        from mcp.server.mcpserver import MCPServer

        application: Any = MCPServer("shop")
        options = {"port": int(port)} if transport == "http" else {}
    except ImportError:
        from mcp.server.fastmcp import FastMCP

        application, options = FastMCP("shop", port=int(port)), {}

    @application.tool()  # type: ignore[untyped-decorator, unused-ignore]
    def add(left: int, right: int) -> int:
        return left + right

    @application.tool()  # type: ignore[untyped-decorator, unused-ignore]
    def fail(left: int) -> int:
        raise ValueError("no such price")

    with capture(capture_content=CONTENT) as traces, suppress(KeyboardInterrupt):
        try:
            application.run("streamable-http" if transport == "http" else "stdio", **options)
        finally:
            Path(os.environ["SPANS_FILE"]).write_text(json.dumps(rows(traces)))


async def _ask(streams: Any) -> None:
    from mcp import ClientSession

    @llmtrace.agent(name="clerk")
    async def clerk(session: Any) -> None:
        await session.initialize()
        await session.list_tools()
        await session.call_tool("add", {"left": 1, "right": 2})
        await session.call_tool("fail", {"left": 1})

        @llmtrace.tool(name="adder")
        async def adder(left: int) -> str:
            await session.call_tool("add", {"left": left, "right": 2})
            return "added"

        await adder(4)

    async with ClientSession(streams[0], streams[1]) as session:
        await clerk(session)


async def _over_stdio() -> None:
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    arguments = [__file__, "server", "stdio"]
    parameters = StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ))
    async with stdio_client(parameters) as streams:
        await _ask(streams)


async def _over_http() -> None:
    try:
        from mcp.client.streamable_http import streamable_http_client as connect
    except ImportError:
        from mcp.client.streamable_http import streamablehttp_client as connect

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, "server", "http", str(port))
    try:
        for _ in range(300):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            await asyncio.sleep(0.1)
        async with connect(f"http://127.0.0.1:{port}/mcp") as streams:
            await _ask(streams)
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 30)


def client(transport: str) -> None:
    """Start a server, ask it, print what both recorded."""
    spans_file = Path(os.environ["SPANS_FILE"])
    with capture(capture_content=CONTENT) as traces:
        asyncio.run(_over_http() if transport == "http" else _over_stdio())
        for _ in range(100):
            if spans_file.exists() and spans_file.read_text():
                break
            time.sleep(0.1)
        print(json.dumps({"client": rows(traces), "server": json.loads(spans_file.read_text())}))


if __name__ == "__main__":
    {"client": client, "server": server}[sys.argv[1]](*sys.argv[2:])
