"""Certificates for tests of TLS, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

LOCAL: Final = "subjectAltName=DNS:localhost,IP:127.0.0.1"
"""The extension of a server of this machine."""


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def issue(folder: Path, name: str, *extensions: str, signer: str = "", days: int = 2) -> None:
    """Write `name.pem` and `name-key.pem`: its own authority, or signed by the `signer` of the same folder.

    extensions: as openssl takes them. days: how long it is valid; -1: until yesterday.
    """
    certificate, key, request = (folder / f"{name}{end}" for end in (".pem", "-key.pem", ".csr"))
    options = [option for extension in extensions for option in ("-addext", extension)]
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key]
    new += ["-subj", f"/O=Shop/CN={name}", *options]
    if not signer:
        _openssl(*new, "-x509", "-days", str(days), "-out", certificate)
        return
    _openssl(*new, "-new", "-out", request)
    authority = ["-CA", folder / f"{signer}.pem", "-CAkey", folder / f"{signer}-key.pem", "-CAcreateserial"]
    _openssl(
        "x509",
        "-req",
        "-in",
        request,
        *authority,
        "-days",
        str(days),
        "-copy_extensions",
        "copy",
        "-out",
        certificate,
    )
