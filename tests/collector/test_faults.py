"""What goes wrong around a collector: disks, stores, clients. What it acknowledged is in the store once."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmtrace.common.http_limits import middleware
from llmtrace.common.http_limits.bodies import BodyReader
from llmtrace_collector.app import create_app
from llmtrace_collector.settings import CollectorSettings
from llmtrace_collector.store.engine import StoreUnavailable
from tests.crash_inserts import run as kill_amid_inserts
from tests.malformed import run as send_malformed

from .otlp import llm, span, traces
from .running import Served, settings, until


@contextmanager
def small_disk(folder: Path, size: str, *options: str) -> Iterator[None]:
    """A disk of its own at `folder`; skips the test where one may not mount."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def counts(served: Served, name: str) -> str:
    """Rows and distinct spans of one name."""
    return served.value(
        "SELECT count(), uniqExact(SpanId) FROM otel_traces WHERE SpanName = {n:String}", n=name
    )


@pytest.mark.long
def test_kills_amid_inserts_and_amid_a_split(tmp_path: Path) -> None:
    outcome = kill_amid_inserts(tmp_path / "data", rounds=4)
    assert outcome.good, outcome
    assert outcome.amid + outcome.apart > 0, outcome


def test_a_full_disk_answers_503_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "wal", "1m"):
        served = Served(settings(tmp_path))
        try:
            real = served.collector.store.insert_segment
            unavailable = True

            def insert(kind: str, path: Path, token: str) -> None:
                if unavailable:
                    raise StoreUnavailable("away", 210)
                real(kind, path, token)

            monkeypatch.setattr(served.collector.store, "insert_segment", insert)
            acknowledged = 0
            refused: list[bytes] = []
            while len(refused) < 3:
                body = traces([llm({"text": os.urandom(60_000).hex()}, name="disk")]).SerializeToString()
                answer = served.post(body)
                if answer.status_code == 200:
                    acknowledged += 1
                else:
                    assert answer.status_code == 503, answer.content
                    assert int(answer.headers["retry-after"]) >= 1
                    assert b"cannot be written" in answer.content
                    refused.append(body)
                assert acknowledged < 50, "the disk is never full"
            assert acknowledged > 0
            unavailable = False
            served.stored()
            assert counts(served, "disk") == f"{acknowledged}\t{acknowledged}"
            # The senders try again.
            for body in refused:
                assert served.post(body).status_code == 200
                served.stored()
            total = acknowledged + len(refused)
            assert counts(served, "disk") == f"{total}\t{total}"
        finally:
            served.close()


def test_a_disk_that_turns_read_only_answers_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.stored()
    real = os.open

    def refuse(path: str | Path, flags: int, *rest: int, **named: int) -> int:
        if str(path).endswith(".seg"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    body = traces([llm(name="read-only")]).SerializeToString()
    answer = served.post(body)
    assert answer.status_code == 503
    assert b"Read-only file system" in answer.content
    assert served.value("SELECT 1") == "1"
    monkeypatch.undo()
    assert served.post(body).status_code == 200
    served.stored()
    assert counts(served, "read-only") == "1\t1"


def test_a_directory_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "data", "1m", "ro"),
        pytest.raises(ValueError, match=r"cannot be written \(Read-only file system\).*--data-dir"),
    ):
        create_app(CollectorSettings(data_dir=tmp_path / "data"))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        create_app(CollectorSettings(data_dir=file))


def test_a_store_that_is_down_for_long_is_ridden_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    down = True
    attempts: list[str] = []
    real = served.collector.store.insert_segment

    def insert(kind: str, path: Path, token: str) -> None:
        if down:
            attempts.append(token)
            raise StoreUnavailable("away", 210)
        real(kind, path, token)

    monkeypatch.setattr(served.collector.store, "insert_segment", insert)
    sent = 0
    # Pauses grow from a quarter of a second: five attempts are about seven seconds.
    while len(attempts) < 5:
        batch = [llm(name="down") for _ in range(20)]
        assert served.post(traces(batch)).status_code == 200
        sent += len(batch)
        time.sleep(0.05)
    assert counts(served, "down") == "0\t0"
    # While the store does not answer the log makes few large segments of it, not one for each moment.
    assert len(served.collector.wal.segments()) <= 3
    down = False
    served.stored()
    assert counts(served, "down") == f"{sent}\t{sent}"


def connection(served: Served) -> socket.socket:
    """A bare connection."""
    return socket.create_connection(("127.0.0.1", served.collector.settings.port), timeout=30)


def head(length: int) -> bytes:
    """The head of a request whose body has `length` bytes."""
    return (
        b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n"
        b"content-length: %d\r\n\r\n" % length
    )


def status(peer: socket.socket) -> bytes:
    """The status line of an answer, empty when the connection was closed without one."""
    received = b""
    while b"\r\n" not in received:
        chunk = peer.recv(4096)
        if not chunk:
            break
        received += chunk
    return received.split(b"\r\n", 1)[0]


def test_slow_clients_are_served_and_hold_nobody_up(served: Served) -> None:
    body = traces([llm(name="slow")]).SerializeToString()
    with connection(served) as slow:
        slow.sendall(head(len(body)))
        for at in range(0, len(body), 40):
            slow.sendall(body[at : at + 40])
            if at % 120 == 0:
                assert served.post(traces([span(name="quick")])).status_code == 200
        assert status(slow) == b"HTTP/1.1 200 OK"
    served.stored()
    assert counts(served, "slow") == "1\t1"


def test_a_body_that_never_ends_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(receive: Any, limit: int, seconds: float, *more: Any) -> Any:
        return BodyReader(receive, limit, min(seconds, 0.2), *more)

    monkeypatch.setattr(middleware, "BodyReader", impatient)
    body = traces([llm(name="never")]).SerializeToString()
    with connection(served) as slow:
        slow.sendall(head(len(body)) + body[:-1])
        assert status(slow) == b"HTTP/1.1 408 Request Timeout"
    assert counts(served, "never") == "0\t0"


@pytest.mark.parametrize("part", ["all", "half", "head", "nothing"])
def test_half_closed_connections(served: Served, part: str) -> None:
    body = traces([llm(name=f"half-closed {part}")]).SerializeToString()
    whole = head(len(body)) + body
    sent_bytes = {"all": len(whole), "half": len(whole) - len(body) // 2, "head": 30, "nothing": 0}[part]
    before = served.metric("llmtrace_received_items_total", signal="traces")
    with connection(served) as peer:
        peer.sendall(whole[:sent_bytes])
        peer.shutdown(socket.SHUT_WR)
        answer = status(peer)
    assert not answer.startswith(b"HTTP/1.1 5")
    if part == "all":
        # The server may take the half-close for the end of the client; then it resends, as after any loss.
        assert answer in (b"HTTP/1.1 200 OK", b"")
        assert served.post(body).status_code == 200
    else:
        assert served.metric("llmtrace_received_items_total", signal="traces") == before
    served.stored()
    expected = "1\t1" if part == "all" else "0\t0"
    assert counts(served, f"half-closed {part}") == expected


def test_readers_beside_ingest_see_whole_requests_and_no_errors(served: Served) -> None:
    done = threading.Event()
    seen: list[list[int]] = [[], []]
    text = "SELECT count() FROM otel_traces WHERE SpanName = 'beside'"

    def read(counts: list[int]) -> None:
        while not done.is_set():
            counts.append(int(served.value(text)))

    readers = [threading.Thread(target=read, args=(series,)) for series in seen]
    for reader in readers:
        reader.start()
    try:
        for _ in range(20):
            assert served.post(traces([llm(name="beside") for _ in range(25)])).status_code == 200
            time.sleep(0.02)
        served.stored()
    finally:
        done.set()
        for reader in readers:
            reader.join(60)
    until(lambda: served.value(text) == "500", what="reading everything")
    for series in seen:
        assert series == sorted(series)
        assert all(count % 25 == 0 for count in series)
    assert served.value("SELECT sum(Calls) FROM usage_10s WHERE Operation = 'chat'") != "0"


def test_malformed_bodies_are_answered_deliberately(tmp_path: Path) -> None:
    outcome = send_malformed(tmp_path / "data", 400, seed=7)
    assert outcome.good, outcome
    assert outcome.answers.keys() >= {"200", "400"}
