"""What a certificate says of itself, for messages: `ssl` reads it of peers that it trusts already, alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_NAMES: Final = {
    bytes.fromhex("550403"): "commonName",
    bytes.fromhex("550406"): "countryName",
    bytes.fromhex("550407"): "localityName",
    bytes.fromhex("550408"): "stateOrProvinceName",
    bytes.fromhex("55040a"): "organizationName",
    bytes.fromhex("55040b"): "organizationalUnitName",
}
"""Object identifiers of the usual parts of a name, as `ssl` calls them; others are left out."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whose it is, who signed it, and until when it holds."""

    subject: str
    issuer: str
    not_after: datetime

    def __str__(self) -> str:
        signer = "itself" if self.issuer == self.subject else self.issuer
        return f"subject {self.subject}, issued by {signer}, valid until {self.not_after:%Y-%m-%d}"


def read_certificates(pem: str) -> list[Certificate]:
    """Those in a PEM text, in order. Raises ValueError where one cannot be read."""
    try:
        return [_certificate(base64.b64decode(body)) for body in _PEM.findall(pem)]
    except (IndexError, ValueError) as error:
        raise ValueError(f"a certificate cannot be read ({error})") from error


def first_certificate(path: Path) -> Certificate | None:
    """The first of a PEM file; None where there is none that can be read."""
    try:
        return next(iter(read_certificates(path.read_text(encoding="utf-8", errors="replace"))), None)
    except (OSError, ValueError):
        return None


def _certificate(der: bytes) -> Certificate:
    (_, certificate), *_ = _items(der)
    (_, signed), *_ = _items(certificate)
    fields = list(_items(signed))
    if fields[0][0] == _EXPLICIT_VERSION:  # left out of the oldest
        del fields[0]
    _, _, (_, issuer), (_, validity), (_, subject), *_ = fields
    _, (kind, until) = _items(validity)
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    not_after = datetime.strptime(until.decode("ascii"), form).replace(tzinfo=UTC)
    return Certificate(_name(subject), _name(issuer), not_after)


def _name(der: bytes) -> str:
    parts = []
    for _, names in _items(der):
        for _, pair in _items(names):
            (_, identifier), (_, value) = _items(pair)
            if identifier in _NAMES:
                parts.append(f"{_NAMES[identifier]}={value.decode('utf-8', 'replace')}")
    return ", ".join(parts) or "without a name"


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value that stands in a DER sequence."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:  # the length's own length
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size])
            at += size
        if at + length > len(der):
            raise ValueError("it ends too soon")
        yield tag, der[at : at + length]
        at += length
