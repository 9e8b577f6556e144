"""Bursts at the collector's endpoints: refused keys, denied reads, keys that turn up in new places."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class AccessParameters:
    """How many events within the window are a burst; 0: never."""

    window_seconds: int
    refused_keys: int
    """From one address; ten times as many from all together."""
    denied_reads: int
    """Of one key."""
    new_addresses: int
    """Of one key."""


class AccessCount(NamedTuple):
    """Events of one kind with one key from one address within the window; times in Unix seconds."""

    kind: str
    key_id: str
    address: str
    events: int
    last_at: float


class Burst(NamedTuple):
    """More events than the limit. `of`: the address or the key, '' for all addresses together."""

    kind: str
    of: str
    events: int
    limit: int
    last_at: float


#: Attempts from many addresses at once are a burst at so many times the limit of one.
_TOGETHER = 10

#: One address is one attacker, and a list of more helps nobody.
_MOST = 20


def find_bursts(counts: Sequence[AccessCount], parameters: AccessParameters) -> list[Burst]:
    """The bursts, largest first. Refused keys are an address's, denied reads and new places a key's."""
    refused, denied, moved = (
        [count for count in counts if count.kind == kind]
        for kind in ("key_refused", "read_denied", "key_new_address")
    )
    by_address = _grouped([(count.address, count) for count in refused if count.address])
    bursts = [
        *_beyond("key_refused", by_address, parameters.refused_keys),
        *_beyond("key_refused", {"": refused}, _TOGETHER * parameters.refused_keys),
        *_beyond(
            "read_denied", _grouped([(count.key_id, count) for count in denied]), parameters.denied_reads
        ),
        *_beyond(
            "key_new_address", _grouped([(count.key_id, count) for count in moved]), parameters.new_addresses
        ),
    ]
    return sorted(bursts, key=lambda burst: burst.events, reverse=True)[:_MOST]


def _grouped(counts: Sequence[tuple[str, AccessCount]]) -> dict[str, list[AccessCount]]:
    groups: dict[str, list[AccessCount]] = defaultdict(list)
    for of, count in counts:
        groups[of].append(count)
    return groups


def _beyond(kind: str, groups: dict[str, list[AccessCount]], limit: int) -> list[Burst]:
    return [
        Burst(kind, of, sum(count.events for count in group), limit, max(count.last_at for count in group))
        for of, group in groups.items()
        if limit and sum(count.events for count in group) >= limit
    ]
