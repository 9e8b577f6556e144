"""Files that say nothing without a key: what the log, the spool and backups are on disk where one is set.

A file is a header and records. Each file has a key of its own, derived from the current one and the header's
random salt, so that records can be counted for their nonces and none is ever used twice. A record that was
changed, moved within its file or cut off is noticed; a file that is cut between two records is a shorter one.

    b"llmtrace sealed 1\\n"   id of the key (8 bytes)   salt (32)   then, for each record:
    length of what follows (4 bytes, big endian)   AES-256-GCM of the record with its tag

The library `cryptography` is loaded when a key is used; it comes with `pip install 'llmtrace[encryption]'`.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final

KEY_VARIABLE: Final = "LLMTRACE_ENCRYPTION_KEY"
FILE_VARIABLE: Final = "LLMTRACE_ENCRYPTION_KEY_FILE"

_MAGIC: Final = b"llmtrace sealed 1\n"
_ID_BYTES, _SALT_BYTES, _KEY_BYTES = 8, 32, 32
_HEADER_BYTES: Final = len(_MAGIC) + _ID_BYTES + _SALT_BYTES
_LENGTH: Final = struct.Struct(">I")
#: What a record may be, so that a damaged length does not ask for the whole memory.
_MAX_RECORD: Final = 1 << 30
_TAG_BYTES: Final = 16

#: By how much more than a file's length is tried to find records in what is damaged, how many of them damage
#: may hide in a row, and how many a damaged header is tried on.
_TRIES: Final = 64
_SKIPPED: Final = 64
_FIRST_RECORDS: Final = 3
_SHORT: Final = 1 << 16


class EncryptionUnavailable(ValueError):
    """Keys are set and cannot be used; the message says why and what to do."""


class SealBroken(ValueError):
    """A sealed file cannot be read: another key, or damage."""


@dataclass(frozen=True, repr=False)
class EncryptionKeys:
    """32-byte keys, the current one first; those after it only read what was written before a rotation."""

    keys: tuple[bytes, ...]

    @cached_property
    def by_id(self) -> Mapping[bytes, bytes]:
        """Each key by the id that headers name it by."""
        return {key_id(key): key for key in self.keys}

    @property
    def current(self) -> bytes:
        """The key that is written with."""
        return self.keys[0]

    def derived(self, key: bytes, purpose: str, salt: bytes = b"") -> bytes:
        """A key for one purpose alone (HKDF-SHA256, 32 bytes)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(hashes.SHA256(), _KEY_BYTES, salt or None, f"llmtrace {purpose}".encode()).derive(key)


def load_keys(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> EncryptionKeys | None:
    """The keys of `file`, else those that the environment names (LLMTRACE_ENCRYPTION_KEY_FILE, then
    LLMTRACE_ENCRYPTION_KEY); None where there are none.

    One key a line, 64 hexadecimal digits, the current one first; lines that begin with # are comments. Raises
    EncryptionUnavailable when they cannot be used, so that nothing is written without them.
    """
    named = file or (Path(name) if (name := environment.get(FILE_VARIABLE, "")) else None)
    if named is not None:
        try:
            text, source = named.read_text(), str(named)
        except (OSError, UnicodeDecodeError) as error:
            raise EncryptionUnavailable(
                f"the encryption keys in {named} cannot be read ({error}): make the file readable for this "
                "process alone, or name another by encryption_key_file"
            ) from error
    else:
        text, source = environment.get(KEY_VARIABLE, ""), KEY_VARIABLE
        if not text.strip():
            return None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or not all(re.fullmatch(r"[0-9a-fA-F]{64}", line) for line in lines):
        raise EncryptionUnavailable(
            f"{source} should hold one key a line, each of 64 hexadecimal digits, the current one first: "
            "make one by `openssl rand -hex 32`"
        )
    try:
        import cryptography  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        raise EncryptionUnavailable(
            f"{source} holds keys, and the Python package that encrypts is missing: pip install "
            "'llmtrace[encryption]', or set no key"
        ) from error
    return EncryptionKeys(tuple(dict.fromkeys(map(bytes.fromhex, lines))))


def key_id(key: bytes) -> bytes:
    """How headers name a key; says nothing of it."""
    return hashlib.sha256(b"llmtrace key id" + key).digest()[:_ID_BYTES]


def is_sealed(data: bytes) -> bool:
    """Whether this is the start of a sealed file, or of one of which a crash left only the start."""
    return data[: len(_MAGIC)] == _MAGIC[: len(data)] if data else False


class Sealer:
    """Writes one file: first `header`, then each record as `record` gives it. Not for use by two threads."""

    def __init__(self, keys: EncryptionKeys) -> None:
        salt = os.urandom(_SALT_BYTES)
        self.header = _MAGIC + key_id(keys.current) + salt
        self._cipher = _cipher(keys, keys.current, salt)
        self._count = 0

    def record(self, data: bytes) -> bytes:
        """The record's bytes in the file."""
        sealed: bytes = self._cipher.encrypt(_nonce(self._count), data, self.header)
        self._count += 1
        return _LENGTH.pack(len(sealed)) + sealed


def records(data: bytes, keys: EncryptionKeys | None) -> Iterator[tuple[bytes, int]]:
    """The records of a file, each with the offset at which it ends; stops before the first that is not whole.

    Raises SealBroken when there is no key for it.
    """
    if len(data) < _HEADER_BYTES:
        return
    header = data[:_HEADER_BYTES]
    cipher = _reading_cipher(header, keys)
    offset, count = _HEADER_BYTES, 0
    while offset + _LENGTH.size <= len(data):
        (length,) = _LENGTH.unpack_from(data, offset)
        end = offset + _LENGTH.size + length
        if length > _MAX_RECORD or end > len(data):
            return
        plain = _opened(cipher, count, data[offset + _LENGTH.size : end], header)
        if plain is None:
            return
        yield plain, end
        offset, count = end, count + 1


@dataclass(frozen=True)
class SealedStretch:
    """The bytes [start, end) of a sealed file: a record, or None where they are damaged. `count` is how many
    records end at `end` or before, where that can be told. `is_cut`: the start of one whose rest is missing.
    """

    start: int
    end: int
    record: bytes | None
    count: int | None
    is_cut: bool = False


def was_sealed(data: bytes) -> bool:
    """Whether this was a sealed file, though some bytes of what it begins with may be damaged."""
    same = sum(own == byte for own, byte in zip(data, _MAGIC, strict=False))
    return is_sealed(data) or (len(data) >= _HEADER_BYTES and same >= len(_MAGIC) - 2)


def scan(data: bytes, keys: EncryptionKeys | None) -> Iterator[SealedStretch]:
    """All of a file's bytes, record by record, those that are damaged as well.

    A record says by its nonce how many came before it. Behind a damaged one the next is looked for where the
    length says, then wherever lengths lead on from one to the next; what that may cost is bounded. Raises
    SealBroken when there is no key for it.
    """
    if len(data) < _HEADER_BYTES:
        yield SealedStretch(0, len(data), None, None, is_cut=is_sealed(data))
        return
    finder = _RecordFinder(data, _whole_header(data, keys), keys)
    offset, count = _HEADER_BYTES, 0
    while offset < len(data):
        end = finder.end_at(offset)
        if end is not None and (record := finder.opened(count, offset, end)) is not None:
            yield SealedStretch(offset, end, record, count + 1)
            offset, count = end, count + 1
            continue
        damage_end, number = finder.end_of_damage(offset, count, end)
        record = finder.opened(count, offset, damage_end)  # where the length alone is damaged
        is_cut = record is None and damage_end == len(data) and finder.reaches_over(offset)
        yield SealedStretch(offset, damage_end, record, number, is_cut)
        offset, count = damage_end, number if number is not None else count + 1


class _RecordFinder:
    """Opens the records of a file and finds the next one behind damage."""

    def __init__(self, data: bytes, header: bytes, keys: EncryptionKeys | None) -> None:
        self._data = data
        self._header = header
        self._cipher = _reading_cipher(header, keys)
        #: Bytes that may still be tried as records that they may not be.
        self._tries = _TRIES * len(data)
        # Where a length may stand: none is greater than the file or less than a tag.
        most = min(len(data) >> 24, 0x3F)
        self._lengths = re.compile(b"(?=[\\x00-\\x%02x](?!\\x00\\x00[\\x00-\\x0f]))" % most, re.DOTALL)

    def end_at(self, offset: int) -> int | None:
        """Where the record at `offset` ends by its length; None where that cannot be."""
        if offset + _LENGTH.size > len(self._data):
            return None
        (length,) = _LENGTH.unpack_from(self._data, offset)
        end: int = offset + _LENGTH.size + length
        return end if _TAG_BYTES <= length <= _MAX_RECORD and end <= len(self._data) else None

    def reaches_over(self, offset: int) -> bool:
        """Whether the record at `offset` ends behind the file's end by its length, or within that."""
        if offset + _LENGTH.size > len(self._data):
            return True
        (length,) = _LENGTH.unpack_from(self._data, offset)
        return bool(offset + _LENGTH.size + length > len(self._data) and length <= _MAX_RECORD)

    def opened(self, count: int, offset: int, end: int) -> bytes | None:
        """The record in [offset, end) as number `count`, whatever its length says."""
        return _opened(self._cipher, count, self._data[offset + _LENGTH.size : end], self._header)

    def end_of_damage(self, offset: int, count: int, end: int | None) -> tuple[int, int | None]:
        """Where the next record begins behind a damaged one, and its number; the file's end and None where
        there is none. `end` is where the damaged one ends by its length.
        """
        if end is not None and self._tried(count + 1, end):
            return end, count + 1
        for match in self._lengths.finditer(self._data, offset + 1):
            at = match.start()
            if not self._leads_on(at):
                continue
            skipped = min((at - offset) // (_LENGTH.size + _TAG_BYTES), _SKIPPED)
            for number in (*range(count + 1, count + 1 + max(skipped, 1)), count):
                if self._tried(number, at):
                    return at, number
            if self._tries < 0:
                break
        if end == len(self._data):
            return end, count + 1
        return len(self._data), None

    def _tried(self, number: int, offset: int) -> bool:
        end = self.end_at(offset)
        if end is None or self._tries < 0:
            return False
        self._tries -= end - offset
        return self.opened(number, offset, end) is not None

    def _leads_on(self, offset: int) -> bool:
        """Whether the length at `offset` leads to another, and that on, or to the end. A short record may
        lead to one that is damaged as well.
        """
        end = self.end_at(offset)
        is_short = end is not None and end - offset <= _SHORT
        for _ in range(3):
            if end is None or end == len(self._data):
                break
            end = self.end_at(end)
        return end is not None or is_short


def _whole_header(data: bytes, keys: EncryptionKeys | None) -> bytes:
    """A file's header, as it was before what names the format or the key was damaged: what a key opens."""
    header = data[:_HEADER_BYTES]
    if keys is None or (header.startswith(_MAGIC) and header[len(_MAGIC) :][:_ID_BYTES] in keys.by_id):
        return header
    for key in keys.keys:
        tried = _MAGIC + key_id(key) + header[-_SALT_BYTES:]
        cipher, offset, count = _cipher(keys, key, header[-_SALT_BYTES:]), _HEADER_BYTES, 0
        while count < _FIRST_RECORDS and offset + _LENGTH.size <= len(data):
            (length,) = _LENGTH.unpack_from(data, offset)
            end = offset + _LENGTH.size + length
            if end > len(data):
                break
            if _opened(cipher, count, data[offset + _LENGTH.size : end], tried) is not None:
                return tried
            offset, count = end, count + 1
    return header


def sealed_records(file: BinaryIO, keys: EncryptionKeys | None) -> Iterator[bytes]:
    """The records of an open file that is too large for memory.

    Raises SealBroken at the first that is not whole, and where no key fits.
    """
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise SealBroken("the file is damaged, or was cut off")
    cipher, count = _reading_cipher(header, keys), 0
    while length := file.read(_LENGTH.size):
        size = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else _MAX_RECORD + 1
        plain = _opened(cipher, count, file.read(size), header) if size <= _MAX_RECORD else None
        if plain is None:
            raise SealBroken("the file is damaged, or was cut off")
        yield plain
        count += 1


def seal(data: bytes, keys: EncryptionKeys) -> bytes:
    """A whole file of one record."""
    sealer = Sealer(keys)
    return sealer.header + sealer.record(data)


def unseal(data: bytes, keys: EncryptionKeys | None) -> bytes:
    """What `seal` was given; bytes that are not sealed come back as they are. Raises SealBroken."""
    if not is_sealed(data):
        return data
    record = next(records(data, keys), None)
    if record is None or record[1] != len(data):
        raise SealBroken("the file is damaged, or was cut off")
    return record[0]


def _reading_cipher(header: bytes, keys: EncryptionKeys | None) -> Any:
    named = header[len(_MAGIC) : len(_MAGIC) + _ID_BYTES]
    key = None if keys is None else keys.by_id.get(named)
    if keys is None or key is None:
        raise SealBroken(
            f"the file was encrypted with the key {named.hex()}, which is not among the keys that are set: "
            f"add it to those of {FILE_VARIABLE}, below the current one"
        )
    return _cipher(keys, key, header[-_SALT_BYTES:])


def _cipher(keys: EncryptionKeys, key: bytes, salt: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(keys.derived(key, "file", salt))


def _opened(cipher: Any, count: int, sealed: bytes, header: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    try:
        plain: bytes = cipher.decrypt(_nonce(count), sealed, header)
    except (InvalidTag, ValueError):  # the second where there is less than a tag
        return None
    return plain


def _nonce(count: int) -> bytes:
    return count.to_bytes(12, "big")
