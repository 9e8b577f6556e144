"""Users who may not ask for a while, kept in a file so that a restart remembers them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from llmtrace.common.durable_files import make_directory, write_durably
from llmtrace_inference.protocol.errors import ApiError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockedUser:
    """One user's block; `until` in seconds since 1970."""

    user: str
    until: float
    reason: str = ""


class BlockList:
    """The blocked users. Expired blocks are dropped when listed or saved. One event loop's thread only."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._blocked: dict[str, BlockedUser] = {}
        if path.exists():
            try:
                saved = json.loads(path.read_text(encoding="utf-8"))
                self._blocked = {blocked["user"]: BlockedUser(**blocked) for blocked in saved}
            except (ValueError, TypeError, KeyError) as error:
                raise RuntimeError(f"{path} is damaged ({error}): mend or remove it") from error

    def add(self, user: str, seconds: float, reason: str = "") -> BlockedUser:
        """Block a user from now on, for so long; replaces an earlier block. Saved when this returns."""
        blocked = self._blocked[user] = BlockedUser(user, self._clock() + seconds, reason)
        self._save()
        return blocked

    def remove(self, user: str) -> bool:
        """Lift a block; False where there was none."""
        was_blocked = self._blocked.pop(user, None) is not None
        if was_blocked:
            self._save()
        return was_blocked

    def current(self) -> list[BlockedUser]:
        """All blocks that still hold."""
        now = self._clock()
        self._blocked = {user: blocked for user, blocked in self._blocked.items() if blocked.until > now}
        return list(self._blocked.values())

    def refuse(self, user: str | None) -> None:
        """Raise ApiError 403 where this user is blocked."""
        blocked = self._blocked.get(user) if user is not None else None
        if blocked is None:
            return
        seconds_left = blocked.until - self._clock()
        if seconds_left > 0:
            because = f": {blocked.reason}" if blocked.reason else ""
            raise ApiError(
                403,
                f"this user is blocked for another {seconds_left:.0f} s{because}",
                code="user_blocked",
                param="user",
                retry_after_seconds=int(seconds_left) + 1,
            )

    def _save(self) -> None:
        make_directory(self._path.parent)
        write_durably(self._path, json.dumps([asdict(blocked) for blocked in self.current()]).encode())
