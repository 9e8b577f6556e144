"""Encrypted files: what comes back, what is noticed, and what is refused before anything is written."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as sample
from hypothesis import strategies as st

from llmtrace.common.sealed_files import (
    EncryptionKeys,
    EncryptionUnavailable,
    SealBroken,
    Sealer,
    is_sealed,
    load_keys,
    records,
    seal,
    unseal,
)
from llmtrace.delivery import DeliverySettings, Spool
from llmtrace.delivery.exporter import Batch
from llmtrace.delivery.spool_format import Frame
from tests.examples import examples
from tests.spooled import spooled_payloads

FIRST, SECOND = "11" * 32, "22" * 32


def keys(*texts: str) -> EncryptionKeys:
    return EncryptionKeys(tuple(bytes.fromhex(text) for text in texts))


def written(parts: list[bytes], used: EncryptionKeys) -> bytes:
    sealer = Sealer(used)
    return sealer.header + b"".join(sealer.record(part) for part in parts)


@sample(max_examples=examples(40))
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_records_come_back_and_end_where_they_are_said_to(parts: list[bytes]) -> None:
    data = written(parts, keys(FIRST))
    rows = list(records(data, keys(SECOND, FIRST)))
    assert [plain for plain, _ in rows] == parts
    if parts:
        assert rows[-1][1] == len(data)
    for part in parts:
        assert len(part) < 8 or part in b"llmtrace sealed 1\n" or part not in data


@sample(max_examples=examples(60))
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=3), st.data())
def test_a_cut_or_changed_file_gives_the_records_before_that_and_no_others(
    parts: list[bytes], data: st.DataObject
) -> None:
    whole = written(parts, keys(FIRST))
    ends = [end for _, end in records(whole, keys(FIRST))]
    cut = data.draw(st.integers(0, len(whole)))
    assert [plain for plain, _ in records(whole[:cut], keys(FIRST))] == parts[
        : sum(end <= cut for end in ends)
    ]
    header = len(whole) - sum(len(part) + 20 for part in parts)
    at = data.draw(st.integers(header, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    assert [plain for plain, _ in records(changed, keys(FIRST))] == parts[: sum(end <= at for end in ends)]


def test_records_cannot_be_moved_or_taken_from_another_file() -> None:
    data, another = (written([b"first", b"other"], keys(FIRST)) for _ in range(2))
    header = len(data) - 2 * (5 + 20)
    swapped = data[:header] + data[header + 25 :] + data[header : header + 25]
    assert list(records(swapped, keys(FIRST))) == []
    assert list(records(data[:header] + another[header:], keys(FIRST))) == []


def test_what_was_not_sealed_comes_back_as_it_is_and_a_missing_key_is_named() -> None:
    assert unseal(b"plain", None) == b"plain"
    sealed = seal(b"text", keys(FIRST))
    assert is_sealed(sealed)
    assert unseal(sealed, keys(SECOND, FIRST)) == b"text"
    with pytest.raises(SealBroken, match="not among the keys that are set"):
        unseal(sealed, keys(SECOND))
    with pytest.raises(SealBroken, match="not among the keys"):
        unseal(sealed, None)
    with pytest.raises(SealBroken, match="damaged"):
        unseal(sealed[:-1], keys(FIRST))


def test_keys_come_from_a_file_or_the_environment_and_bad_ones_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# since May\n{FIRST}\n\n{SECOND}\n")
    assert load_keys(file, {}) == keys(FIRST, SECOND)
    assert load_keys(None, {"LLMTRACE_ENCRYPTION_KEY_FILE": str(file)}) == keys(FIRST, SECOND)
    assert load_keys(None, {"LLMTRACE_ENCRYPTION_KEY": SECOND}) == keys(SECOND)
    assert load_keys(None, {}) is None
    for text in ("", "secret", FIRST[:-1], f"{FIRST}\nx"):
        file.write_text(text)
        with pytest.raises(EncryptionUnavailable, match="openssl rand -hex 32") as refused:
            load_keys(file, {})
        assert FIRST[:-1] not in str(refused.value)
    with pytest.raises(EncryptionUnavailable, match="cannot be read"):
        load_keys(tmp_path / "none", {})
    assert FIRST not in repr(keys(FIRST))


def spool(folder: Path, used: EncryptionKeys | None) -> Spool:
    settings = DeliverySettings.for_collector(
        "http://127.0.0.1:9", spool_dir=str(folder), encryption_keys=used
    )
    return Spool(settings)


def test_batches_in_the_spool_say_nothing_without_the_key(tmp_path: Path) -> None:
    payload = b"a prompt of somebody" * 10
    plain = spool(tmp_path, None).put(Batch("traces", 3, payload)).path
    assert payload in plain.read_bytes()
    sealed = spool(tmp_path, keys(FIRST)).put(Batch("traces", 5, payload)).path
    assert b"prompt" not in sealed.read_bytes()

    after_rotation = spool(tmp_path, keys(SECOND, FIRST))
    for path, items in ((plain, 3), (sealed, 5)):
        (frame,) = after_rotation.read(path)
        assert isinstance(frame, Frame)
        assert after_rotation.batch(frame) == Batch("traces", items, payload)
    (sealed_frame,) = after_rotation.read(sealed)
    assert isinstance(sealed_frame, Frame)
    with pytest.raises(SealBroken, match="not among the keys"):
        spool(tmp_path, keys(SECOND)).batch(sealed_frame)


PROGRAM = """
import os, llmtrace
from pathlib import Path
llmtrace.init(endpoint="http://127.0.0.1:9", spool_dir=os.environ["SPOOL"])
with llmtrace.span("a marked word"):
    pass
llmtrace.shutdown()
print(sum(1 for _ in Path(os.environ["SPOOL"]).rglob("*.segment")))
"""


@pytest.mark.parametrize(("key", "files"), [(FIRST, "1"), ("no key", "0"), ("", "1")])
def test_a_program_keeps_its_spans_encrypted_or_not_at_all(tmp_path: Path, key: str, files: str) -> None:
    """A key that cannot be used neither ends the program nor lets its texts onto the disk."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"SPOOL": str(tmp_path), "LLMTRACE_ENCRYPTION_KEY": key, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == files
    on_disk = spooled_payloads(tmp_path)
    assert [is_sealed(data) for data in on_disk] == ([] if files == "0" else [key == FIRST])
    if key == "":
        assert b"a marked word" in gzip.decompress(on_disk[0])
    assert ("nothing is kept on disk" in done.stderr) == (key == "no key")
