"""Users who may not ask for a while, kept in a file so that a restart remembers them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from llmtrace.common.durable_files import write_durably
from llmtrace_inference.protocol.errors import ApiError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockedUser:
    """One user's block; `until` in seconds since 1970."""

    user: str
    until: float
    reason: str = ""


class BlockList:
    """Blocks by user. Expired ones go at the next look. One event loop's thread only."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._blocks: dict[str, BlockedUser] = {}
        if path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                self._blocks = {item["user"]: BlockedUser(**item) for item in kept}
            except (ValueError, TypeError, KeyError) as error:
                raise RuntimeError(f"{path} is damaged ({error}): mend or remove it") from error

    def add(self, user: str, seconds: float, reason: str = "") -> BlockedUser:
        """Block a user from now on, for so long; replaces an earlier block. Saved when this returns."""
        block = self._blocks[user] = BlockedUser(user, self._clock() + seconds, reason)
        self._save()
        return block

    def remove(self, user: str) -> bool:
        """Lift a block; False where there was none."""
        was_there = self._blocks.pop(user, None) is not None
        if was_there:
            self._save()
        return was_there

    def current(self) -> list[BlockedUser]:
        """All blocks that still hold."""
        now = self._clock()
        self._blocks = {user: block for user, block in self._blocks.items() if block.until > now}
        return list(self._blocks.values())

    def refuse(self, user: str | None) -> None:
        """Raise ApiError 403 where this user is blocked."""
        block = self._blocks.get(user) if user is not None else None
        if block is None:
            return
        left = block.until - self._clock()
        if left > 0:
            because = f": {block.reason}" if block.reason else ""
            raise ApiError(
                403,
                f"this user is blocked for another {left:.0f} s{because}",
                code="user_blocked",
                param="user",
                retry_after_seconds=int(left) + 1,
            )

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self._path, json.dumps([asdict(block) for block in self.current()]).encode())
