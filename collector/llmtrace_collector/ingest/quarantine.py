"""The quarantine: what the store refused of the log, and what of the log is damaged or gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from llmtrace.common.durable_files import sync_directory, write_durably
from llmtrace.common.sealed_files import EncryptionKeys, seal

from .log_damage import Damage, entry, entry_names, is_plain_entry, keep, keep_missing
from .segment import Segment, is_entry_name

logger = logging.getLogger(__name__)


class Quarantine:
    """Entries in `folder`, by name. With `keys` what is written is encrypted; `keep_refused`: whether bytes
    may be kept as they were sent. `on_damage` is called with each new damage.
    """

    def __init__(
        self,
        folder: Path,
        keys: EncryptionKeys | None,
        on_damage: Callable[[Damage], None],
        *,
        keep_refused: bool,
    ) -> None:
        self.folder = folder
        self._keys = keys
        self._on_damage = on_damage
        self._keep_refused = keep_refused
        self._missing: dict[str, Damage] = {}

    def segment(self, name: str) -> Segment | None:
        """A refused segment by its token; None when there is none of that name."""
        signal = name.split("-", 1)[0]
        segment = Segment(signal, self.folder, name, self.folder, self._keep_refused, self._keys)
        return segment if segment.path.is_file() or segment.path.with_suffix(".reason").is_file() else None

    def names(self) -> list[str]:
        """The names of all that is here, also of what was refused and is not kept."""
        names = {
            path.stem
            for path in self.folder.glob("*")
            if path.suffix in (".seg", ".reason", ".damage") and is_entry_name(path.stem) and path.is_file()
        }
        return sorted(names, key=lambda name: name.split("-", 1)[1])

    def damage(self, name: str) -> Damage | None:
        """A damaged place of the log by its name; None when there is none of that name.

        Raises ValueError where what is known of it cannot be read.
        """
        return entry(self.folder, name, self._keys)

    def missing(self) -> Sequence[Damage]:
        """Segments whose files somebody took away, of which the entries were not deleted yet."""
        return tuple(self._missing.values())

    def delete(self, name: str) -> None:
        """Delete what is here under a name, for good."""
        for suffix in (".seg", ".reason", ".bytes", ".damage"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
        sync_directory(self.folder)
        self._missing.pop(name, None)

    def load_missing(self) -> None:
        """Take up the entries of missing segments that an earlier process made."""
        for name in entry_names(self.folder):
            if not name.endswith(".at-0"):
                continue
            try:
                damage = self.damage(name)
            except ValueError as error:  # the list of entries tells of it
                logger.warning("%s", error)
                continue
            if damage is not None and damage.missed_at:
                self._missing[name] = damage

    def add_missing(self, damage: Damage) -> Damage:
        """Make the entry of a segment that is missing; what it says."""
        known = keep_missing(self.folder, damage, self._keys)
        if known.name not in self._missing:
            self._missing[known.name] = known
            logger.error("%s is in the quarantine: %s", known.name, known.reason)
            self._on_damage(known)
        return known

    def keep_damage(self, segment: Segment, data: bytes, damage: list[Damage]) -> None:
        """Make entries of damaged bytes of a segment's `data`, before anything lets go of them."""
        segment.damage = []
        for item in damage:
            if item.missed_at:
                segment.damage.append(self.add_missing(item))
                continue
            known, is_new = keep(self.folder, item, data, self._keys, as_sent=self._keep_refused)
            segment.damage.append(known)
            if is_new:
                log = logger.warning if known.requests == 0 else logger.error
                log("%s is in the quarantine: %s", known.name, known.reason)
                self._on_damage(known)

    def encrypt_entries(self, keys: EncryptionKeys) -> None:
        """Encrypt reasons and damage that were written before there was a key."""
        for path in self.folder.glob("*"):
            if path.suffix == ".new":  # the draft of a file
                path.unlink()
            elif is_plain_entry(path):
                write_durably(path, seal(path.read_bytes(), keys))
