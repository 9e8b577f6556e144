"""A program that logs within a step, each way that programs do.

python with_logs.py logging|structlog-stdlib|structlog-json|structlog-print|loguru|uvicorn
"""

from __future__ import annotations

import asyncio
import logging
import logging.config
import socket
import sys
import urllib.request
from typing import Any

import llmtrace

llmtrace.init(logs=True, service_name=f"logs by {sys.argv[1]}")


def log(way: str) -> None:
    if way == "logging":
        logging.getLogger("shop").warning("paid %d", 7, extra={"amount": 7})
    elif way.startswith("structlog"):
        log_by_structlog(way)
    else:
        from loguru import logger

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                logging.getLogger(record.name).handle(record)

        logger.add(Handler(), format="{message}")
        logger.bind(amount=7).warning("paid {}", 7)


def log_by_structlog(way: str) -> None:
    import structlog

    before: list[Any] = [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso")]
    if way == "structlog-stdlib":
        renderer = structlog.stdlib.ProcessorFormatter(processor=structlog.dev.ConsoleRenderer())
        handler = logging.StreamHandler()
        handler.setFormatter(renderer)
        logging.basicConfig(handlers=[handler], force=True)
        structlog.configure(
            processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
    elif way == "structlog-json":
        structlog.configure(
            processors=[*before, llmtrace.log_processor, structlog.processors.JSONRenderer()],
            logger_factory=structlog.stdlib.LoggerFactory(),
        )
    else:
        structlog.configure(
            processors=[*before, llmtrace.log_processor, structlog.processors.JSONRenderer()],
            logger_factory=structlog.PrintLoggerFactory(),
        )
    structlog.get_logger().warning("paid 7", amount=7)


async def serve() -> None:
    """One request to an application in uvicorn, whose set-up replaces all handlers there are."""
    import uvicorn

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        with llmtrace.span("step"):
            logging.getLogger("uvicorn.error").warning("paid 7", extra={"amount": 7})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/orders"
        server = uvicorn.Server(uvicorn.Config(application, lifespan="off"))
        listener.listen()
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=30).read())
        server.should_exit = True
        await serving


if sys.argv[1] == "uvicorn":
    asyncio.run(serve())
else:
    with llmtrace.span("step"):
        log(sys.argv[1])
llmtrace.shutdown(10)
