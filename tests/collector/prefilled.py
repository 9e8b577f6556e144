"""Empty stores with the schema of these sources, copied: making one takes three seconds of CPU."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import llmtrace_collector

_MAKE = "import sys; from llmtrace_collector.store.store import open_store; open_store(sys.argv[1]).close()"


def prefill(store: Path) -> Path:
    """Put an empty store where there is none yet."""
    if not store.exists():
        shutil.copytree(_template(), store, symlinks=True)
    return store


@cache
def _template() -> Path:
    sources = Path(llmtrace_collector.__file__).parent
    digest = hashlib.sha256(llmtrace_collector.__file__.encode())
    for file in sorted(
        file
        for folder in ("store", "pricing", "attributes")
        for file in (sources / folder).rglob("*")
        if file.suffix in {".py", ".sql", ".proto", ".txt"}
    ):
        digest.update(file.read_bytes())
    home = Path(tempfile.gettempdir()) / f"llmtrace-tests-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    template = home / digest.hexdigest()[:16]
    if not template.exists():
        unfinished = Path(tempfile.mkdtemp(dir=home)) / "store"
        subprocess.run([sys.executable, "-c", _MAKE, f"chdb://{unfinished}"], check=True)
        try:
            unfinished.rename(template)
        except OSError:  # another process was quicker
            assert template.exists()
        shutil.rmtree(unfinished.parent)
    return template
