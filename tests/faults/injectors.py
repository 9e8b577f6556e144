"""What breaks things: strace, small disks, bits, clocks. Each says whether the machine permits it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from .processes import Process


@cache
def missing(need: str) -> str:
    """Why the machine does not permit `need` (strace, mount, faketime); empty when it does."""
    if need == "mount":
        return "" if _can_mount() else "mounting a small disk needs root (CAP_SYS_ADMIN)"
    if shutil.which(need) is None:
        return f"{need} is not installed (apt-get install {need})"
    if need == "strace":
        done = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, check=False)
        return "" if done.returncode == 0 else "strace may not trace here (CAP_SYS_PTRACE)"
    return ""


def _can_mount() -> bool:
    folder = Path("/tmp") / f"llmtrace-faults-mount-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    try:
        with small_disk(folder, "1m"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        folder.rmdir()


@contextmanager
def small_disk(folder: Path, size: str, inodes: int = 0) -> Iterator[None]:
    """A disk of its own at `folder`, of that size and so many inodes (0: enough)."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size}" + (f",nr_inodes={inodes}" if inodes else "")
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True, capture_output=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def no_inodes(folder: Path) -> Iterator[None]:
    """All inodes of the disk of `folder` used for the length of the block."""
    hoard = folder / "hoard"
    hoard.mkdir(exist_ok=True)
    with suppress(OSError):
        for number in range(10_000_000):
            (hoard / str(number)).touch()
    try:
        yield
    finally:
        shutil.rmtree(hoard)


@contextmanager
def no_space(folder: Path) -> Iterator[None]:
    """All space of the disk of `folder` used when the block begins; what is freed in it stays free."""
    hoard = folder / "hoard.bin"
    with hoard.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 65536):
            pass
    with hoard.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 512):
            pass
    try:
        yield
    finally:
        hoard.unlink()


@contextmanager
def strace(process: Process, inject: str, paths: Sequence[Path] = ()) -> Iterator[None]:
    """`inject` (as strace's -e inject=) into all threads of a process for the length of the block; with
    `paths`
    only into calls on these. Under it every system call is slower.
    """
    calls = inject.partition(":")[0]
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={inject}"]
    for path in paths:
        command += ["-P", str(path)]
    tracer = subprocess.Popen([*command, "-p", str(process.pid)], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.4)  # until every thread is attached to
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(5)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()


def under_strace(inject: str) -> list[str]:
    """What to put before a command so that `inject` holds from its first call on."""
    calls = inject.partition(":")[0]
    return ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={inject}"]


@contextmanager
def stopped(process: Process) -> Iterator[None]:
    """A process that hangs for the length of the block: it accepts connections and never answers."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def clock_moved(seconds: int) -> list[str]:
    """What to put before a command whose Python sees the clock so many seconds off.

    faketime replaces the C library's functions: Python's clock moves, while the engine, linked to one of its
    own, keeps the true one. Monotonic time stays.
    """
    return ["faketime", "--exclude-monotonic", "-f", f"{seconds:+d}s"]


def flip_bits(file: Path, choose: random.Random, count: int = 1, *, after: int = 0) -> list[int]:
    """Flip a bit at so many random offsets from `after` on; the offsets."""
    data = bytearray(file.read_bytes())
    offsets = sorted(choose.randrange(after, len(data)) for _ in range(count)) if len(data) > after else []
    for offset in offsets:
        data[offset] ^= 1 << choose.randrange(8)
    file.write_bytes(bytes(data))
    return offsets


def parts_of_spans(data_dir: Path) -> list[Path]:
    """The folders of the engine's parts of spans, largest first."""
    parts = [
        path.parent
        for path in (data_dir / "store" / "store").glob("*/*/*/columns.txt")
        if not path.parent.name.startswith(("tmp", "delete")) and _holds_spans(path)
    ]
    return sorted(parts, key=lambda part: -sum(file.stat().st_size for file in part.glob("*")))


def _holds_spans(columns: Path) -> bool:
    text = columns.read_text(errors="replace")
    return "`SpanAttributes`" in text and "`InputMessages`" in text
