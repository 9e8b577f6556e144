"""A checkout of this repository, at any commit, whose code is run and measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parents[1]

_PROGRAMS = Path(__file__).parent / "programs"

#: Folders with packages, where a checkout has them.
_SOURCES = ("sdk", "collector", "dashboard", "cli", "inference")


@dataclass(frozen=True)
class Checkout:
    """The sources in `folder`, run by the checkout's own virtual environment where it has one, else by this
    interpreter.
    """

    folder: Path

    @classmethod
    def of(cls, folder: Path) -> Checkout:
        """The checkout in a folder. Raises ValueError where there is none."""
        if not (folder / "collector" / "llmtrace_collector").is_dir():
            raise ValueError(f"{folder} is no checkout of llmtrace: it has no collector/llmtrace_collector")
        return cls(folder.resolve())

    @property
    def interpreter(self) -> str:
        """The path of the Python that runs it."""
        own = self.folder / ".venv" / "bin" / "python"
        return str(own) if own.exists() else sys.executable

    @property
    def commit(self) -> str:
        """The commit that is checked out, `+` behind it where files differ; empty where git cannot say."""
        command = ["git", "-C", str(self.folder), "describe", "--always", "--abbrev=10", "--exclude=*"]
        done = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def start(self, program: str, arguments: Sequence[str], *, errors: Path) -> subprocess.Popen[str]:
        """Start one of `programs/` over these sources; what it writes to standard error goes to a file.

        Its input and output are pipes. It ends by itself when the input is closed.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith("LLMTRACE_")}
        paths = [str(self.folder / name) for name in _SOURCES if (self.folder / name).is_dir()]
        paths.append(str(HERE))  # where these programs are
        with errors.open("ab") as file:
            return subprocess.Popen(
                # -P: the program's own folder is no place to import from.
                [self.interpreter, "-P", str(_PROGRAMS / program), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
            )


def ask(process: subprocess.Popen[str], line: str, errors: Path) -> str:
    """Write a line to a program's input and read its answer. Raises RuntimeError where it ended instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return read_line(process, errors)


def read_line(process: subprocess.Popen[str], errors: Path) -> str:
    """The next line of a program's output. Raises RuntimeError with its last complaints where it ended."""
    assert process.stdout is not None
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"a program of the benchmark ended: {errors.read_text()[-2000:]}")
    return answer.rstrip("\n")
