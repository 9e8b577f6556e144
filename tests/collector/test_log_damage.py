"""A damaged log: everything but the damaged place is read, and what that held is counted."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from llmtrace.common.sealed_files import EncryptionKeys
from llmtrace_collector.ingest.log_damage import Damage, read_log
from llmtrace_collector.ingest.segment import Segment
from llmtrace_collector.ingest.wal_frame import Frame, encode

from .otlp import llm, traces

TOKEN = "traces-00000000000000000001-abcdef012345"
KEYS = EncryptionKeys((bytes(range(32)), bytes(32)))
#: Rows of each request.
ROWS = (1, 3, 2, 4, 1, 2)


def log_of(folder: Path, keys: EncryptionKeys | None) -> tuple[bytes, list[Frame], list[int]]:
    """A segment's bytes, its frames, and where each ends."""
    frames = [
        Frame(
            "",
            10**18 + n,
            traces([llm() for _ in range(rows)], {"service.name": f"s{n}"}).SerializeToString(),
        )
        for n, rows in enumerate(ROWS)
    ]
    segment = Segment("traces", folder, TOKEN, folder / "quarantine", keys=keys)
    ends = []
    for count in range(1, len(frames) + 1):
        segment.__dict__.pop("_sealer", None)
        segment.write(frames[:count])
        ends.append(segment.path.stat().st_size)
    return segment.path.read_bytes(), frames, ends


def read(data: bytes, keys: EncryptionKeys | None) -> tuple[list[bytes], list[Damage]]:
    """The bodies of the frames that can be read, and the damage between them."""
    contents = read_log("traces", TOKEN, data, keys)
    bodies = [item.body for item in contents if isinstance(item, Frame)]
    return bodies, [item for item in contents if isinstance(item, Damage)]


@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_flipped_byte_anywhere_costs_the_one_request_that_it_is_in(
    tmp_path: Path, keys: EncryptionKeys | None
) -> None:
    data, frames, ends = log_of(tmp_path, keys)
    choose = random.Random(4)
    header = 58 if keys else 0
    salt = range(26, 58) if keys else range(0)
    heads = [at for end in [header, *ends[:-1]] for at in range(end, end + 12)]
    for at in [*range(header), *heads, *(choose.randrange(header, len(data)) for _ in range(300))]:
        if at in salt:
            continue
        flipped = bytearray(data)
        flipped[at] ^= choose.randint(1, 255)
        bodies, damage = read(bytes(flipped), keys)
        hit = next(n for n, end in enumerate(ends) if at < end)
        intact = [frame.body for n, frame in enumerate(frames) if n != hit]
        if not damage:  # a length, which its checksum mends, or what names the format
            assert bodies == [frame.body for frame in frames], at
            continue
        assert bodies == intact, at
        (hole,) = damage
        assert hole.requests == 1, at
        assert hole.rows == ROWS[hit] or (keys and hit == len(ROWS) - 1 and hole.rows is None), (at, hole)


@pytest.mark.parametrize("keys", [None, KEYS])
def test_damage_in_several_places_leaves_the_rest(tmp_path: Path, keys: EncryptionKeys | None) -> None:
    data, frames, ends = log_of(tmp_path, keys)
    flipped = bytearray(data)
    for hit in (1, 2, 4):
        flipped[ends[hit - 1] : ends[hit - 1] + 9] = b"\xff" * 9
    bodies, damage = read(bytes(flipped), keys)
    assert bodies == [frames[n].body for n in (0, 3, 5)]
    assert [(hole.requests, hole.rows) for hole in damage] == [(2, 5), (1, 1)]
    assert sum(hole.size for hole in damage) == ends[2] - ends[0] + ends[4] - ends[3]


@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_log_that_is_cut_anywhere_loses_what_was_cut(tmp_path: Path, keys: EncryptionKeys | None) -> None:
    data, frames, ends = log_of(tmp_path, keys)
    for cut in range(ends[3] + 1, ends[4]):
        bodies, damage = read(data[:cut], keys)
        assert bodies == [frame.body for frame in frames[:4]]
        assert [(hole.at, hole.requests, hole.rows) for hole in damage] == [(ends[3], 0, 0)], cut


@pytest.mark.parametrize("keys", [None, KEYS])
@pytest.mark.parametrize("filling", ["random", "zeros", "lengths", "first frame"])
def test_garbage_takes_time_in_proportion(tmp_path: Path, keys: EncryptionKeys | None, filling: str) -> None:
    data, frames, ends = log_of(tmp_path, keys)
    size = 2 << 20
    garbage = {
        "random": random.Random(5).randbytes(size),
        "zeros": bytes(size),
        "lengths": b"\x00\x00\x01\x00\x7d" * (size // 5),
        "first frame": data[58 if keys else 0 : ends[0]] * (size // ends[0]),
    }[filling]
    began = time.process_time()
    bodies, damage = read(data[: ends[2]] + garbage + data[ends[2] :], keys)
    assert time.process_time() - began < 6
    expected = [frame.body for frame in frames]
    if filling == "first frame" and keys is None:  # each is a good one
        assert bodies[:3] + bodies[-3:] == expected
        return
    # Behind megabytes of what looks like lengths, encrypted records may not be found again.
    assert bodies == expected or (keys and filling != "random" and bodies == expected[:3])
    assert damage[0].size >= len(garbage)


def test_a_segment_of_a_release_before_is_read_behind_damage() -> None:
    bodies = [traces([llm()]).SerializeToString() for _ in range(4)]
    encoded = [b"".join(encode(Frame("", 5, body))) for body in bodies]
    data = bytearray(b"".join(encoded))
    data[len(encoded[0]) + 40] ^= 1
    read_bodies, damage = read(bytes(data), None)
    assert read_bodies == [bodies[0], *bodies[2:]]
    assert [(hole.requests, hole.size) for hole in damage] == [(1, len(encoded[1]))]


def test_a_frame_within_a_request_is_not_taken_for_one(tmp_path: Path) -> None:
    """A sender knows the frame's format, but not the marker."""
    inner = b"".join(encode(Frame("victim", 5, traces([llm()]).SerializeToString())))
    hostile = (
        traces([llm({"text": inner.hex()})]).SerializeToString().replace(inner.hex().encode(), inner * 2)
    )
    segment = Segment("traces", tmp_path, TOKEN, tmp_path / "quarantine")
    segment.write([Frame("", 1, hostile), Frame("", 2, b"")])
    data = bytearray(segment.path.read_bytes())
    data[:6] = os.urandom(6)
    contents = read_log("traces", TOKEN, bytes(data), None)
    assert [item.project for item in contents if isinstance(item, Frame)] == [""]
