"""What of the log cannot be read: found, counted, and kept as entries of the quarantine.

An entry is `TOKEN.at-OFFSET.damage`, what is known of the damaged bytes as JSON, and `….bytes`, these bytes
themselves where they may be kept. By its name it is the same however often the segment is read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from llmtrace.common.durable_files import make_directory, write_durably
from llmtrace.common.sealed_files import EncryptionKeys, seal, unseal, was_sealed
from llmtrace.common.sealed_files import scan as scan_sealed

from .count_journal import Arrival, arrivals_of
from .validate import parse, service_rows
from .wal_frame import Frame, Stretch, decode, marker_of, salvage, scan, totals_at

#: The service of rows of which nobody can tell whose they were.
UNKNOWN = "(damaged)"

_DAMAGE, _BYTES = ".damage", ".bytes"

_MINUTE = 60_000_000_000

#: Bytes of a row in a request, at least.
_LEAST_ROW = 9


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that cannot be read, from the offset `at`. `requests` and `rows` are how many they
    held, None where nothing tells; of a request that a crash cut off while it was written, which was never
    acknowledged, 0. `owners` are whose rows they were, as far as that can be told, by project, service and
    Unix minute (seconds); they came at about `received` (Unix nanoseconds). `has_bytes`: whether the entry
    has the bytes. `missed_at`: of a whole segment whose file was taken away, when that was seen (Unix
    nanoseconds); else 0.
    """

    signal: str
    token: str
    at: int
    size: int
    requests: int | None = None
    rows: int | None = None
    owners: Sequence[tuple[str, str, int, int]] = ()
    received: int = 0
    has_bytes: bool = False
    missed_at: int = 0

    @property
    def name(self) -> str:
        """The entry's name in the quarantine."""
        return f"{self.token}.at-{self.at}"

    @property
    def arrivals(self) -> Counter[Arrival]:
        """Its rows by whose they were; where nobody knows how many, one for each request."""
        known = Counter({Arrival(*owner[:3]): owner[3] for owner in self.owners})
        least = self.rows if self.rows is not None else 1 if self.requests is None else self.requests
        unknown = least - known.total()
        if unknown > 0:
            known[Arrival("default", UNKNOWN, self.received // _MINUTE * 60)] += unknown
        return known

    @property
    def reason(self) -> str:
        """What happened, and what can be done."""
        if self.missed_at:
            least = self.arrivals.total()
            rows = _plural(least, _ROW_NAMES[self.signal])
            held = f"at least {rows}" if self.rows is None else rows
            return (
                f"missing log segment: {self.token}.seg lay in the log with {held} that were not stored yet, "
                "and somebody else than the collector took the file away. Put it back into the log's folder "
                "and restart the collector, or have what it held sent again; delete this entry once that is "
                "settled"
            )
        held = _plural(self.requests, "request") if self.requests is not None else "requests nobody can count"
        if self.rows is not None:
            held += f" with {_plural(self.rows, _ROW_NAMES[self.signal])}"
        place = f"{_plural(self.size, 'byte')} at byte {self.at} of {self.token}.seg"
        bytes_are = "kept" if self.has_bytes else "dropped, for they may not be kept"
        if self.requests == 0:
            return (
                f"damaged log record, cut off: {place} are the start of a request whose rest is missing, "
                f"as a crash leaves one that was never acknowledged; the bytes are {bytes_are}. Delete this "
                "entry once you have seen it"
            )
        return (
            f"damaged log record: {place} cannot be read any more, {held}; the bytes are {bytes_are}. What "
            "came before and behind is stored. Check the disk; have what is missing sent again where its "
            "sender still has it"
        )


_ROW_NAMES = {"traces": "span", "logs": "log record", "metrics": "data point"}


def read_log(signal: str, token: str, data: bytes, keys: EncryptionKeys | None) -> list[Frame | Damage]:
    """A segment's file: its frames, and between them what is damaged. Raises SealBroken where no key fits."""
    stretches = _sealed_stretches(data, keys) if was_sealed(data) else scan(data, marker_of(token))
    contents: list[Frame | Damage] = []
    holes: list[Stretch] = []
    last: Frame | None = None
    for stretch in stretches:
        if stretch.frame is None:
            holes.append(stretch)
            continue
        if holes:
            contents.append(_damage(signal, token, data, holes, last, stretch.frame))
            holes = []
        contents.append(last := stretch.frame)
    if holes:
        contents.append(_damage(signal, token, data, holes, last, None))
    return contents


def _sealed_stretches(data: bytes, keys: EncryptionKeys | None) -> Iterator[Stretch]:
    count = 0
    for item in scan_sealed(data, keys):
        frame = next((frame for frame, _ in decode(item.record)), None) if item.record is not None else None
        requests = 0 if item.is_cut else None if item.count is None else item.count - count
        yield Stretch(item.start, item.end, frame, requests)
        count = count + 1 if item.count is None else item.count


def _damage(
    signal: str, token: str, data: bytes, holes: list[Stretch], last: Frame | None, following: Frame | None
) -> Damage:
    """What is known of adjacent holes. How much they held is told by the totals in the frames around them,
    else by their own, else by what can still be read of them.
    """
    start, end = holes[0].start, holes[-1].end
    readable = [] if was_sealed(data) else [salvage(data, hole.start, hole.end) for hole in holes]
    read = [frame for frame in readable if frame is not None]
    owners = sum((_arrivals(signal, frame) for frame in read), Counter[Arrival]())
    requests: int | None = 0
    for hole in holes:
        requests = None if requests is None or hole.requests is None else requests + hole.requests
    rows = 0 if requests == 0 else owners.total() if read and len(read) == len(holes) else None
    before = (0, 0) if last is None else (last.requests, last.rows)
    totals = None
    if following is not None and following.requests:
        totals = following.requests - 1, following.rows - _arrivals(signal, following).total()
    elif following is None and requests:
        totals = totals_at(data, end, marker_of(token))
        if totals is not None and totals[0] != before[0] + requests:  # they are what is damaged
            totals = None
    if totals is not None and (last is None or last.requests):
        of_requests, of_rows = totals[0] - before[0], totals[1] - before[1]
        if 0 < of_requests <= of_rows < (end - start) // _LEAST_ROW:
            requests, rows = of_requests, of_rows
    return Damage(
        signal,
        token,
        start,
        end - start,
        requests,
        rows,
        [(*owner, count) for owner, count in owners.items()] if owners.total() == rows else [],
        next((frame.received for frame in (last, following, *read) if frame is not None), 0),
    )


def _arrivals(signal: str, frame: Frame) -> Counter[Arrival]:
    return arrivals_of(frame, service_rows(signal, parse(signal, frame.body)))


def keep(
    folder: Path, damage: Damage, data: bytes, keys: EncryptionKeys | None, *, as_sent: bool
) -> tuple[Damage, bool]:
    """Make the entry of a damage of the segment that `data` is, on disk when this returns: what it says, and
    whether it is new. Its bytes are kept encrypted where there are keys, else only where they may be
    `as_sent`.
    """
    make_directory(folder, mode=0o700)
    file = folder / f"{damage.name}{_DAMAGE}"
    with suppress(ValueError):  # one that cannot be read is written anew
        known = entry(folder, damage.name, keys)
        if known is not None and known.size == damage.size:
            return known, False
    damage = replace(damage, has_bytes=as_sent or keys is not None)
    if damage.has_bytes:
        _write(file.with_suffix(_BYTES), data[damage.at : damage.at + damage.size], keys)
    _write(file, json.dumps(asdict(damage)).encode(), keys)
    return damage, True


def keep_missing(folder: Path, damage: Damage, keys: EncryptionKeys | None) -> Damage:
    """Make the entry of a segment that is missing, on disk when this returns; what it says, which is what an
    earlier call wrote where there was one.
    """
    make_directory(folder, mode=0o700)
    with suppress(ValueError):  # one that cannot be read is written anew
        known = entry(folder, damage.name, keys)
        if known is not None and known.missed_at:
            return known
    _write(folder / f"{damage.name}{_DAMAGE}", json.dumps(asdict(damage)).encode(), keys)
    return damage


def entry(folder: Path, name: str, keys: EncryptionKeys | None) -> Damage | None:
    """The entry `name`; None where there is none. Raises ValueError where it cannot be read."""
    file = folder / f"{name}{_DAMAGE}"
    if not file.is_file():
        return None
    try:
        return Damage(**json.loads(unseal(file.read_bytes(), keys)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def entry_names(folder: Path) -> list[str]:
    """The names of all entries, oldest segment first."""
    return sorted(path.stem for path in folder.glob(f"*{_DAMAGE}"))


def is_plain_entry(file: Path) -> bool:
    """Whether a file of the quarantine, other than a segment, is not encrypted and should be."""
    return (
        file.suffix in (".reason", _DAMAGE, _BYTES) and file.is_file() and not was_sealed(file.read_bytes())
    )


def _write(file: Path, data: bytes, keys: EncryptionKeys | None) -> None:
    write_durably(file, data if keys is None else seal(data, keys))


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
