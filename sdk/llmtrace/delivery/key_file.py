"""A key that lies in a file and is replaced there while the program runs, as Kubernetes does with tokens."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Final

_MAX_BYTES: Final = 16_384
_KEY: Final = re.compile(r"[\x21-\x7e]+")


class KeyFile:
    """Any thread may read it. A file that did not change is not read again."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._state: tuple[int, ...] | None = None
        self._key = ""

    def read(self) -> str:
        """The key as the file has it now.

        Raises OSError, or ValueError where it holds none; neither text shows what it holds.
        """
        status = self._path.stat()
        state = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        with self._lock:
            if state != self._state:
                with self._path.open("rb") as file:
                    text = file.read(_MAX_BYTES + 1).decode("ascii", "replace").strip()
                if len(text) > _MAX_BYTES or not _KEY.fullmatch(text):
                    raise ValueError(f"api_key_file {self._path} holds no key: it should be one line of text")
                self._key, self._state = text, state
            return self._key
