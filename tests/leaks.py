"""Kill a collector that redacts again and again, and look for originals in whatever it leaves on disk.

    python -m tests.leaks [--rounds N]

Senders post spans and log records full of texts that a pattern matches. The collector gets SIGKILL at random
moments, mostly while it inserts; after each, every file of the data directory but the log's segments, and the
temporary folder, is searched byte by byte: columns are stored uncompressed for this. In the end every
acknowledged span is in the store, with marks. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.collector.leaks import texts_in_files, uncompressed
from tests.collector.otlp import any_value, llm, logs, score, traces
from tests.collector.running import PROTOBUF, Launched, settings, until

#: What every planted text begins with.
CANARY = "CANARY-7"

_PATTERN = r"CANARY-\d+"


@dataclass(frozen=True)
class Outcome:
    """`leaks` names the files in which an original was found; `outside` those that were open elsewhere."""

    rounds: int
    acknowledged: int
    stored: int
    segments_left_by_kills: int
    leaks: list[str]
    outside: list[str]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing leaked and nothing was lost."""
        return not self.leaks and not self.outside and self.stored == self.acknowledged


class Sender(threading.Thread):
    """Posts requests until it is stopped; resends one until it is acknowledged."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.stopping = threading.Event()
        self.acknowledged = 0
        self._random = random.Random(number)

    def _text(self) -> str:
        words = " ".join(f"word{self._random.randrange(10**6)}" for _ in range(60))
        return f"{words} {CANARY}{self._random.randrange(10**9)} {words}"

    def run(self) -> None:
        """Send until stopped; the request under way is finished first."""
        while not self.stopping.is_set():
            spans = [
                llm(
                    {"gen_ai.input.messages": json.dumps([self._text()]), "note": [self._text()]},
                    name=self._text(),
                )
                for _ in range(40)
            ]
            records = [score({"said": self._text()}, body=any_value(self._text())) for _ in range(10)]
            self._send("traces", traces(spans).SerializeToString())
            self.acknowledged += len(spans)
            self._send("logs", logs(records).SerializeToString())
            time.sleep(0.05)  # so that a slow machine keeps up

    def _send(self, kind: str, body: bytes) -> None:
        while not self._post(kind, body):
            time.sleep(0.02)

    def _post(self, kind: str, body: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("POST", f"/v1/{kind}", body, PROTOBUF)
            return connection.getresponse().status == 200
        return False


def _open_outside(pid: int, folder: Path) -> set[str]:
    """Files of temporary folders that a process has open, deleted ones too, which are not below `folder`."""
    open_files = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(link.readlink())
            if target.startswith(("/tmp/", "/var/tmp/", "/dev/shm/")) and not target.startswith(str(folder)):
                open_files.add(target)
    return open_files


def run(directory: Path, rounds: int, seed: int = 0, seconds: float = 1.5) -> Outcome:
    """Kill `rounds` times, at a random moment within `seconds` of each start; `directory` is a fresh folder,
    of which `tmp` becomes the collector's temporary folder.
    """
    started = time.monotonic()
    choose = random.Random(seed)
    data, temporary = directory / "data", directory / "tmp"
    temporary.mkdir(parents=True)
    os.environ["TMPDIR"] = str(temporary)
    with uncompressed(data):
        pass
    configured = settings(data, segment_seconds=0.2, redact=("secrets", "pii"), redact_patterns=(_PATTERN,))
    leaks: set[str] = set()
    outside: set[str] = set()
    segments = 0
    with Launched(configured) as collector:
        senders = [Sender(configured.port, number) for number in range(2)]
        for sender in senders:
            sender.start()
        for number in range(rounds):
            time.sleep(choose.uniform(0.05, seconds))
            assert collector.process is not None
            outside |= _open_outside(collector.process.pid, directory)
            collector.stop(signal.SIGKILL)
            segments += len(list((data / "wal").glob("*.seg")))
            leaks |= {str(path) for path in leaking(directory)}
            collector.start()
            print(f"round {number + 1}: {sum(s.acknowledged for s in senders)} spans", file=sys.stderr)
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(60)
        until(lambda: not list((data / "wal").glob("*.seg")), 300, "storing")
        marked = "SELECT count() FROM otel_traces WHERE SpanName LIKE '%[redacted:own]%'"
        stored = int(collector.value(marked))
        collector.stop()
        leaks |= {str(path) for path in leaking(directory)}
    return Outcome(
        rounds=rounds,
        acknowledged=sum(sender.acknowledged for sender in senders),
        stored=stored,
        segments_left_by_kills=segments,
        leaks=sorted(leaks),
        outside=sorted(outside),
        seconds=round(time.monotonic() - started, 1),
    )


def leaking(directory: Path) -> list[Path]:
    """The parts of the directory in which an original was found."""
    folders = [*(directory / "data").iterdir(), directory / "tmp"]
    text = CANARY.encode()
    leaking_folders = [folder for folder in folders if folder.is_dir() and texts_in_files(folder, [text])]
    return [*leaking_folders, *(file for file in folders if file.is_file() and text in file.read_bytes())]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.leaks", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        outcome = run(Path(directory), arguments.rounds, arguments.seed)
    print(json.dumps({**asdict(outcome), "good": outcome.good}))
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
