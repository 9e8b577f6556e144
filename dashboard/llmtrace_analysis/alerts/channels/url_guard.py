"""Where messages may go: a name is resolved once, and the address that was checked is connected to."""

from __future__ import annotations

import ipaddress
import socket

import httpx

from .address_blocks import is_private, is_public


class AddressRefused(Exception):
    """The url leads where messages may not go; the error says where and how to allow it."""


def resolve(url: httpx.URL, allow_private: bool) -> str:
    """The address to connect to for a url: the first public one its host has, or private one where allowed.

    The host goes to the system's resolver as it is sent on: whatever it takes for an address (`2130706433`,
    `0x7f.1`, `localhost.`) is judged by where it leads. Raises AddressRefused, and OSError when the name does
    not resolve.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    return resolve_host(url.raw_host.decode("ascii"), port, allow_private)


def resolve_host(host: str, port: int, allow_private: bool) -> str:
    """The same for a host and a port."""
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label too long or empty: no name at all
        raise OSError(f"{host[:100]!r} is no name of a host") from error
    addresses = [str(address_info[4][0]) for address_info in resolved]
    for address in addresses:
        if is_public(address) or (allow_private and is_private(address)):
            return address
    raise AddressRefused(_reason(host, addresses, allow_private))


def check_literal(host: str, allow_private: bool) -> None:
    """Raise AddressRefused for an address in figures that may not be reached; names are a proxy's affair."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not (is_public(host) or (allow_private and is_private(host))):
        raise AddressRefused(_reason(host, [host], allow_private))


def _reason(host: str, addresses: list[str], allow_private: bool) -> str:
    reason = f"{host} leads to {', '.join(dict.fromkeys(addresses))}, which is no public address"
    if not allow_private and any(is_private(address) for address in addresses):
        reason += "; set allow_private on this webhook if that is meant"
    return reason
