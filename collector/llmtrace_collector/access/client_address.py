"""Where a request comes from: the peer, or behind proxies that are trusted, who they say it was."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: A list of hops longer than this is nobody's honest header.
_MAX_HOPS = 32


def networks(texts: Iterable[str]) -> tuple[_Network, ...]:
    """The networks of these addresses and networks. Raises ValueError, naming the one that is none."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


class ClientAddresses:
    """Tells addresses of clients, the hops of `trusted` networks left out."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusted = networks(trusted)

    def of(self, headers: Headers, peer: str) -> str:
        """The address behind a request from `peer`: of X-Forwarded-For the right-most hop that is not
        trusted. Anyone may write that header, so it counts only as far as trusted proxies have written it.
        """
        at = peer
        if not self._trusted or not self._is_trusted(peer):
            return at
        hops = ",".join(headers.getlist("x-forwarded-for")).split(",")[-_MAX_HOPS:]
        for hop in reversed(hops):
            address = _parsed(hop)
            if address is None:
                return at
            at = str(address)
            if not self._is_trusted(at):
                return at
        return at

    def _is_trusted(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and any(
            address.version == network.version and address in network for network in self._trusted
        )


def network_of(address: str) -> str:
    """What addresses are told apart by: an IPv4 address, or an IPv6 network of 64 bits, which is one's own.

    Other text, such as a socket's name, stays as it is, without what cannot be printed.
    """
    parsed = _parsed(address)
    if parsed is None:
        return "".join(character for character in address[:64] if character.isprintable())
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def grpc_peer(peer: str) -> str:
    """The address in gRPC's name of a peer: `ipv4:127.0.0.1:5000`, `ipv6:%5B::1%5D:5000`; else as it is."""
    family, _, rest = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return peer
    host = rest.rpartition(":")[0]
    return host.replace("%5B", "").replace("%5D", "").strip("[]")


def _parsed(text: str) -> _Address | None:
    """An address, with or without port and brackets; one that is mapped into IPv6 as IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
