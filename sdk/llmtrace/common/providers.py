"""A provider by its one name: from an address, and from what emitters write (rows: `provider_table`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from .provider_table import FRAMEWORKS, PROVIDERS

UNKNOWN: Final = "unknown"
"""The provider of a call whose provider nothing tells: it has no list price."""

#: Every spelling in lower case → the name.
SPELLINGS: Final[Mapping[str, str]] = MappingProxyType(
    {spelling: provider.name for provider in PROVIDERS for spelling in (provider.name, *provider.spellings)}
)

#: Name → how invoices write it.
TITLES: Final[Mapping[str, str]] = MappingProxyType({provider.name: provider.title for provider in PROVIDERS})

#: Name → the price list's id, for those that have another there.
LISTED: Final[Mapping[str, str]] = MappingProxyType(
    {provider.name: provider.listed for provider in PROVIDERS if provider.listed}
)


def canonical(name: str) -> str:
    """A provider by its one name: emitters write it in many ways. Empty for a framework, the text
    itself for what the table does not have.
    """
    word = name.strip().lower()
    return "" if word in FRAMEWORKS else SPELLINGS.get(word, name.strip())


class AddressTable:
    """Which provider answers at an address. Rows are addresses as `Provider.hosts` are written, and names."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self._by_host: dict[str, list[tuple[re.Pattern[str], str]]] = {}
        self._patterns: list[tuple[re.Pattern[str], re.Pattern[str], str]] = []
        for address, name in sorted(rows, key=lambda row: (-row[0].count("/"), -len(row[0]))):
            host, _, path = address.lower().partition("/")
            at_path = re.compile(_path_pattern(path), re.IGNORECASE)
            if "*" in host:
                self._patterns.append((re.compile(host_pattern(host)), at_path, name))
            else:
                self._by_host.setdefault(host, []).append((at_path, name))

    def provider(self, host: str, path: str = "") -> str:
        """The name at a host and path (without query), empty where no row has it: patterns go first, then the
        longest host, and of its paths the longest.
        """
        suffix = host.lower().rstrip(".")
        for at_host, at_path, name in self._patterns:
            if at_host.search(suffix) and at_path.match(path):
                return name
        while suffix:
            for at_path, name in self._by_host.get(suffix, ()):
                if at_path.match(path):
                    return name
            suffix = suffix.partition(".")[2]
        return ""


def of_address(host: str, path: str = "") -> str:
    """The provider that answers at a host and path (without query); empty for one that no row above has."""
    return _addresses().provider(host, path)


@cache
def _addresses() -> AddressTable:
    return AddressTable((host, provider.name) for provider in PROVIDERS for host in provider.hosts)


def host_pattern(host: str) -> str:
    """The pattern of a host and of what stands below it, for RE2 as well."""
    return "(^|[.])" + "[a-z0-9-]*".join(re.escape(part) for part in host.lower().split("*")) + "$"


def suffix_pattern(hosts: Iterable[str]) -> str:
    """The pattern that extracts, for RE2 as well, the longest of some hosts that an address is or ends in."""
    return f"(?:^|[.])({'|'.join(map(re.escape, hosts))})$"


def _path_pattern(path: str) -> str:
    return "/" + "[^/]*".join(re.escape(part) for part in path.split("*")) + "(/|$)" if path else ""
