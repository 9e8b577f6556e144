"""httpx over HTTP/2 to a server in this process, plain and streamed, sync and async. Prints the spans."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx

from llmtrace.testing import capture

REQUEST = json.loads(sys.argv[1])
PLAIN, CHUNKS = (json.loads(Path(name).read_text()) for name in sys.argv[2:4])
PATH = "/v1/chat/completions"


def serve(listening: socket.socket, heads: list[dict[str, str]]) -> None:
    """Answer each connection: all that httpx knows of it is that it speaks HTTP/2."""
    while True:
        client = listening.accept()[0]
        threading.Thread(target=_speak, args=(client, heads), daemon=True).start()


def _speak(client: socket.socket, heads: list[dict[str, str]]) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    client.sendall(connection.data_to_send())
    bodies: dict[int, bytes] = {}
    while data := client.recv(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                bodies[event.stream_id] = b""
                heads.append({name.decode(): value.decode() for name, value in event.headers})
            elif isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                _answer(connection, client, event.stream_id, json.loads(bodies.pop(event.stream_id)))
        client.sendall(connection.data_to_send())


def _answer(connection: Any, client: socket.socket, stream: int, asked: Any) -> None:
    kind = "text/event-stream" if asked.get("stream") else "application/json"
    headers = [(":status", "200"), ("content-type", kind), ("x-llmtrace-provider", "openai")]
    connection.send_headers(stream, headers)
    for chunk in CHUNKS if asked.get("stream") else [PLAIN]:
        connection.send_data(stream, chunk.encode())
        client.sendall(connection.data_to_send())
    connection.end_stream(stream)


def ask(url: str) -> None:
    with httpx.Client(http1=False, http2=True) as client:
        response = client.post(url, json=REQUEST)
        assert response.http_version == "HTTP/2", response.http_version
        with client.stream("POST", url, json={**REQUEST, "stream": True}) as stream:
            assert "".join(stream.iter_text()) == "".join(CHUNKS)


async def ask_async(url: str) -> None:
    async with httpx.AsyncClient(http1=False, http2=True) as client:

        async def streamed() -> None:
            async with client.stream("POST", url, json={**REQUEST, "stream": True}) as stream:
                assert "".join([text async for text in stream.aiter_text()]) == "".join(CHUNKS)

        await asyncio.gather(client.post(url, json=REQUEST), streamed())  # on one connection


if __name__ == "__main__":
    received: list[dict[str, str]] = []
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server, received), daemon=True).start()
    target = f"http://127.0.0.1:{server.getsockname()[1]}{PATH}"
    with capture() as traces:
        ask(target)
        asyncio.run(ask_async(target))
        spans = [f"{span.context.span_id:016x}" for span in traces.spans() if span.context]
        parents = [head["traceparent"].split("-")[2] for head in received]
        print(json.dumps({"spans": traces.snapshot(), "ids": sorted(spans), "parents": sorted(parents)}))
