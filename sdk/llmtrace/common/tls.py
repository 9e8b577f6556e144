"""The one TLS rule of our clients: which authorities they trust, and which certificate they present."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for a server's https.

    `certificate` is trusted besides what the machine trusts (or SSL_CERT_FILE names); `client_certificate` and
    `client_key` are presented where the server asks who calls. All unset: the machine's own authorities alone.
    """

    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """A context for clients. Raises ValueError, naming the file, where one cannot be used."""
        context = ssl.create_default_context()
        if self.certificate is not None:
            try:
                context.load_verify_locations(cafile=self.certificate)
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"certificate {self.certificate} cannot be used: {error}") from error
        if self.client_certificate is not None:
            pair = f"client_certificate {self.client_certificate} with client_key {self.client_key}"
            try:
                context.load_cert_chain(self.client_certificate, self.client_key)
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"{pair} cannot be used: {error}") from error
        return context
