"""Other SDKs measured as ours is: each in its own process, round by round against a bare one."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

_MODULES = {
    "openllmetry": "opentelemetry.instrumentation.openai",
    "openinference": "openinference.instrumentation.openai",
    "langfuse": "langfuse",
    "logfire": "logfire",
    "openlit": "openlit",
}
_SCRIPT = Path(__file__).with_name("peer_process.py")


class _Process:
    def __init__(self, python: str, name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(
            [python, str(_SCRIPT), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read_until("ready")

    def round(self, kind: str, calls: int) -> tuple[float, float]:
        """CPU seconds a call: of the process, of the calling thread."""
        if self._process.stdin is None:
            raise RuntimeError("no pipe to the process")
        self._process.stdin.write(f"{kind} {calls}\n")
        self._process.stdin.flush()
        total, caller = self._read_until("").split()
        return float(total), float(caller)

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def _read_until(self, wanted: str) -> str:
        for line in self._process.stdout or ():
            words = line.split()
            if (wanted and words == [wanted]) or (not wanted and len(words) == 2 and _is_number(words[0])):
                return line
        raise RuntimeError(f"the process of {self._name} ended with {self._process.wait()}")


def measured(python: str, pairs: int, calls: int) -> dict[str, dict[str, float]]:
    """Added CPU in µs by peer: medians over interleaved rounds. Peers that are not installed are left out."""
    figures: dict[str, dict[str, float]] = {}
    for name, module in _MODULES.items():
        probe = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
        if probe.returncode:
            print(f"{name}: not installed")
            continue
        bare, traced = _Process(python, "bare"), _Process(python, name)
        figures[name] = {}
        for kind, key, count in (
            ("plain", "plain_us", calls),
            ("stream", "stream100_us", max(1, calls // 4)),
        ):
            totals, callers = [], []
            for process in (bare, traced):
                process.round(kind, count)
            for _ in range(pairs):
                before, after = bare.round(kind, count), traced.round(kind, count)
                totals.append((after[0] - before[0]) * 1e6)
                callers.append((after[1] - before[1]) * 1e6)
            figures[name][key] = round(statistics.median(totals), 1)
            figures[name][f"caller_{key}"] = round(statistics.median(callers), 1)
        for process in (bare, traced):
            process.close()
        print(f"{name}: {figures[name]}")
    return figures


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
