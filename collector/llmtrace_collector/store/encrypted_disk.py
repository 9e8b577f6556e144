"""The embedded engine's encrypted disk: what of its configuration puts every table's parts on one.

Parts are encrypted with AES-256 in counter mode, by keys that are derived from those of the collector. The
engine is told them by its environment while it is opened, and by no file. What keys are in use stands beside
the store: the engine would take parts that it cannot read for broken ones and put them away.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from llmtrace.common.durable_files import write_durably
from llmtrace.common.sealed_files import EncryptionKeys, EncryptionUnavailable, key_id
from llmtrace_collector.sql_values import literal

logger = logging.getLogger(__name__)

_DISK, _FILES, _SPILL = "encrypted", "encrypted_files", "encrypted_spill"
_VARIABLE = "LLMTRACE_ENGINE_KEY_"

#: Which keys the store's parts are encrypted with, and whether some are not.
_STATE = "encryption.json"

_PLAIN_PARTS = """SELECT DISTINCT concat('`', database, '`.`', table, '`'), partition_id
FROM system.parts
WHERE active AND disk_name = 'default'
ORDER BY ALL
FORMAT TSVRaw"""


class EncryptedDisk:
    """The disk of the store in `folder`.

    Raises EncryptionUnavailable, before the engine is opened, where a key is missing that the store needs.
    """

    def __init__(self, folder: Path, keys: EncryptionKeys) -> None:
        self._folder = folder
        self._keys = keys
        state = _state(folder)
        _demand_keys(folder, state, keys)
        # A store that is there without a state was written before there was a key.
        self._has_plain = bool(state.get("plain_parts", (folder / "store").exists()))
        self._used = list(dict.fromkeys([*state.get("keys", []), key_id(keys.current).hex()]))
        self._write_state()

    def configuration(self) -> list[Element]:
        """What the engine's configuration has of it."""
        storage = Element("storage_configuration")
        disks = SubElement(storage, "disks")
        files = SubElement(disks, _FILES)
        SubElement(files, "type").text = "local"
        SubElement(files, "path").text = f"{os.path.realpath(self._folder)}/encrypted/"
        disk = SubElement(disks, _DISK)
        SubElement(disk, "type").text = "encrypted"
        SubElement(disk, "disk").text = _FILES
        SubElement(disk, "path")
        SubElement(disk, "algorithm").text = "AES_256_CTR"
        for key in self._keys.keys:
            SubElement(disk, "key_hex", id=_number(key), from_env=_VARIABLE + _number(key))
        SubElement(disk, "current_key_id").text = _number(self._keys.current)
        policies = SubElement(storage, "policies")
        policy = SubElement(policies, _DISK)
        volumes = SubElement(policy, "volumes")
        SubElement(SubElement(volumes, "main"), "disk").text = _DISK
        if self._has_plain:
            SubElement(SubElement(volumes, "before"), "disk").text = "default"
            # Nothing goes back there when the disk fills up.
            SubElement(policy, "move_factor").text = "0"
        spill = SubElement(SubElement(policies, _SPILL), "volumes")
        SubElement(SubElement(spill, "main"), "disk").text = _DISK
        # What a large sort or aggregation puts aside is somebody's text too.
        temporary = Element("tmp_policy")
        temporary.text = _SPILL
        tables = Element("merge_tree")
        SubElement(tables, "storage_policy").text = _DISK
        return [storage, temporary, tables]

    @contextmanager
    def keys_in_environment(self) -> Iterator[None]:
        """Around the opening of the engine, which reads its keys there."""
        for key in self._keys.keys:
            os.environ[_VARIABLE + _number(key)] = self._keys.derived(key, "engine").hex()
        try:
            yield
        finally:
            for key in self._keys.keys:
                del os.environ[_VARIABLE + _number(key)]

    def encrypt_plain_parts(self, execute: Callable[[str], bytes]) -> None:
        """Move what was written before there was a key onto the disk; goes on where a call was ended."""
        if not self._has_plain:
            return
        for line in execute(_PLAIN_PARTS).decode().splitlines():
            table, partition = line.split("\t")
            logger.info("encrypting what is stored: table=%s partition=%s", table, partition)
            execute(f"ALTER TABLE {table} MOVE PARTITION ID {literal(partition)} TO DISK {literal(_DISK)}")
        self._has_plain = False
        self._write_state()

    def _write_state(self) -> None:
        state = {"keys": self._used, "plain_parts": self._has_plain}
        write_durably(self._folder / _STATE, json.dumps(state).encode())


def demand_plain(folder: Path) -> None:
    """Raise EncryptionUnavailable where the store in `folder` is encrypted, for it would look empty."""
    _demand_keys(folder, _state(folder), None)


def _state(folder: Path) -> dict[str, Any]:
    file = folder / _STATE
    if not file.exists():
        return {}
    try:
        state = json.loads(file.read_text())
    except ValueError as error:
        state = error
    if not isinstance(state, dict):
        raise EncryptionUnavailable(
            f"{file}, which says with which keys the store is encrypted, is damaged: put it back from a "
            "copy, or set all keys that were in use and remove it: the next start makes it anew"
        )
    return state


def _demand_keys(folder: Path, state: dict[str, Any], keys: EncryptionKeys | None) -> None:
    known = set() if keys is None else {name.hex() for name in keys.by_id}
    missing = [name for name in state.get("keys", []) if name not in known]
    if missing:
        raise EncryptionUnavailable(
            f"the store in {folder} is encrypted with the key {missing[0]}, which is not set: name the file "
            "that holds it by collector.encryption_key_file or LLMTRACE_ENCRYPTION_KEY_FILE, where keys of "
            "before a rotation stand below the current one"
        )


def _number(key: bytes) -> str:
    """A key's name in the engine's configuration, the same at every start."""
    return str(int.from_bytes(key_id(key)[:4], "big"))
