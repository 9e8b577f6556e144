"""Which IP addresses belong to the public internet: an allow-list of our own, the same with every Python.

From the IANA registries of special-purpose addresses, as of 2024-10-22, and the allocation of IPv6: only
2000::/3 is global unicast. Blocks within them that IANA calls reachable (anycast services of 192.0.0.0/24 and
2001::/23, AS112, AMT) are refused as well: no receiver of webhooks has an address there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(blocks: Iterable[str]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(block) for block in blocks)


#: What a site uses for itself: may be allowed.
PRIVATE: Final = _networks(
    (
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared with the carrier
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)

#: No receiver of anything: refused whatever the settings say. Link-local addresses are where clouds keep the
#: credentials of their machines; some do it elsewhere.
NEVER: Final = _networks(
    (
        "0.0.0.0/8",
        "100.100.100.200/32",  # Alibaba Cloud's metadata, within the carrier's block
        "168.63.129.16/32",  # Azure's platform, a public address
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo, ORCHID, benchmarks and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
        "fd00:ec2::254/128",  # Amazon's metadata, within the private block
    )
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")

#: IPv6 addresses whose last 32 bits are the IPv4 address that is reached. Where the translator of a site
#: (64:ff9b:1::/48) leads, only that site knows: it is refused, as is all of IPv6 that nobody was assigned.
_EMBEDDING: Final = tuple(
    ipaddress.IPv6Network(block)
    for block in (
        "::ffff:0:0/96",  # mapped
        "64:ff9b::/96",  # translated (NAT64)
    )
)


def address_of(text: str) -> Address:
    """The address that a text reaches, without its zone; one of IPv6 that embeds one of IPv4 reaches that.

    Raises ValueError for a text that is no address.
    """
    ip = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in _EMBEDDING):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet. Raises ValueError for what is no address."""
    ip = address_of(text)
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return not any(ip in network for network in (*NEVER, *PRIVATE))


def is_private(text: str) -> bool:
    """Whether an IP address is one that a site uses for itself, this machine included."""
    ip = address_of(text)
    return any(ip in network for network in PRIVATE) and not any(ip in network for network in NEVER)
