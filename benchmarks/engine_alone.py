"""The engine alone: the bytes of a load as segments of the log, inserted by a process of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from llmtrace_collector.ingest.wal_frame import Frame, encode

from .checkout import Checkout, ask, read_line
from .quiet import Patience, cpu_seconds, until_quiet
from .span_load import Load

#: Without tasks there is nothing to wait for but the merges themselves.
_WINDOW = 2.0


@dataclass(frozen=True)
class EngineCost:
    """CPU (s) of all inserts, and until the merges that they caused were done."""

    spans: int
    cpu: float
    to_quiet: float


def segments(load: Load, folder: Path, size: int) -> Iterator[Path]:
    """The load as segment files of about `size` bytes in `folder`, each there until the next one is asked
    for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began = time.time_ns()
    part: list[bytes] = []
    used = count = 0
    for number in range(len(load)):
        body = load.request(number, began)
        part += encode(Frame("", began, body))
        used += len(body)
        if used + len(body) <= size and number < len(load) - 1:
            continue
        path = folder / f"{count:06d}.seg"
        path.write_bytes(b"".join(part))
        part, used, count = [], 0, count + 1
        yield path
        path.unlink()


def engine_alone(
    checkout: Checkout, directory: Path, fields: Mapping[str, Any], load: Load, *, segment_bytes: int
) -> EngineCost:
    """Insert a load into a new store of a checkout in `directory`. Of the settings in `fields` those of
    redaction count.

    Raises RuntimeError where it did not store everything.
    """
    directory.mkdir(parents=True)
    errors, store = directory / "stderr.txt", directory / "store"
    redaction = json.dumps([fields.get("redact", []), fields.get("drop_content", False)])
    child = checkout.start("engine.py", [str(store), redaction], errors=errors)
    try:
        read_line(child, errors)
        process = psutil.Process(child.pid)
        used = cpu_seconds(process)
        for segment in segments(load, directory / "segments", segment_bytes):
            ask(child, str(segment), errors)
        cpu = cpu_seconds(process) - used
        quiet = until_quiet(
            [lambda: cpu_seconds(process)], store, Patience(window=_WINDOW, idle=_WINDOW, more=1.0)
        )
        assert child.stdin is not None
        child.stdin.close()
        stored = int(read_line(child, errors))
        if stored != load.spans:
            raise RuntimeError(f"{stored} of {load.spans} spans were stored")
        child.wait(60)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
    return EngineCost(load.spans, cpu, quiet.cpu[0] - used)
