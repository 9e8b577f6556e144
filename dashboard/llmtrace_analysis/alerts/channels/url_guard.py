"""Where webhooks may go: a name is resolved once, and the address that was checked is connected to."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressRefused(Exception):
    """The url leads where webhooks may not go; the message says where and how to allow it."""


def resolve(url: str, allow_private: bool) -> str:
    """The address to connect to for a url: the first public one its host has, or any when private is allowed.

    Raises AddressRefused, and OSError when the name does not resolve.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    resolved = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [str(address_info[4][0]) for address_info in resolved]
    for address in addresses:
        if allow_private or is_public(address):
            return address
    raise AddressRefused(
        f"{parts.hostname} leads to {', '.join(dict.fromkeys(addresses))}, which is no public address; set "
        "allow_private on this webhook if that is meant"
    )


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also when wrapped into an IPv6 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
