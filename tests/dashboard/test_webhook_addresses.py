"""Where webhooks may go: every block of the registries at its edges, and every spelling of an address."""

from __future__ import annotations

import ipaddress
import socket

import httpx
import pytest

from llmtrace_analysis.alerts.channels import url_guard
from llmtrace_analysis.alerts.channels.address_blocks import is_private, is_public

#: The IANA special-purpose registries of IPv4 and IPv6 as of 2024-10-22, all rows, with blocks that a library
#: may call public: former site-local addresses, IPv4-compatible ones, multicast, what is unassigned.
REGISTRIES = """
0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32 192.0.2.0/24
192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.88.99.2/32 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15
198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32 224.0.0.0/4
::1/128 ::/128 ::/96 64:ff9b:1::/48 100::/64 2001::/23 2001::/32 2001:1::1/128 2001:1::2/128 2001:1::3/128
2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16
2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 4000::/3 8000::/3 200::/7
""".split()

#: Public addresses on both sides of blocks.
PUBLIC = """
1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0
192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0
223.255.255.255
2001:200:: 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9:: 2003:: 2606:4700::1111 3fff:1000:: 2000::
::ffff:1.1.1.1 64:ff9b::101:101
""".split()


def edges(block: str) -> tuple[str, str]:
    """The first and the last address of a block."""
    network = ipaddress.ip_network(block)
    return str(network[0]), str(network[-1])


@pytest.mark.parametrize("block", REGISTRIES)
def test_no_special_block_is_public(block: str) -> None:
    for address in edges(block):
        assert not is_public(address)
        if ":" not in address:
            number = int(ipaddress.IPv4Address(address))
            assert not is_public(f"::ffff:{address}")
            assert not is_public(str(ipaddress.IPv6Address((0x64FF9B << 96) | number)))
            assert not is_public(str(ipaddress.IPv6Address((0x2002 << 112) | number << 80)))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_beside_them_is_public(address: str) -> None:
    assert is_public(address)
    assert not is_private(address)


def test_only_what_a_site_uses_for_itself_may_be_allowed() -> None:
    for address in ("127.0.0.1", "10.1.2.3", "::1", "fd12::1", "::ffff:192.168.0.1", "100.64.0.1"):
        assert is_private(address)
    for address in (
        "169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200",
        "168.63.129.16", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fec0::1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
    ):  # fmt: skip
        assert not is_private(address)
        assert not is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "localhost",
        "LOCALHOST", "0", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254",
        "2852039166", "0xa9fea9fe", "[fe80::1]", "[::]", "[fec0::1]", "[64:ff9b:1::7f00:1]", "10.0.0.1",
        "[2002:7f00:1::]", "[2001:0:7f00:1::]", "%31%32%37.0.0.1",
    ],
)  # fmt: skip
def test_no_spelling_leads_inside(host: str) -> None:
    """By the system's own resolver, which knows more spellings than `ipaddress` does."""
    with pytest.raises((url_guard.AddressRefused, OSError, httpx.InvalidURL)):
        url_guard.resolve(httpx.URL(f"http://{host}/x"), allow_private=False)


def test_the_host_that_is_judged_is_the_one_that_is_sent_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def lookup(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    for text in (
        "http://ok.example\\@localhost/",
        "http://a@localhost/",
        "http://localhost./",
        "http://bücher.example/",
    ):
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            continue
        with pytest.raises(url_guard.AddressRefused):
            url_guard.resolve(url, allow_private=False)
        assert asked[-1] == url.raw_host.decode()
        assert url_guard.resolve(url, allow_private=True) == "10.0.0.1"
    assert "xn--bcher-kva.example" in asked
    monkeypatch.undo()
    with pytest.raises(OSError):
        url_guard.resolve(httpx.URL(f"http://{'a' * 70}.example/"), allow_private=False)
