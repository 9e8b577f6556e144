"""A provider of identity to test with: its keys here, its documents served by a process of its own, which can
misbehave and be away.

    python -m tests.collector.token_provider FOLDER PORT
"""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .running import free_port, until

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def encoded(data: bytes) -> str:
    """base64url without its end."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int = 0) -> str:
    return encoded(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class SigningKey:
    """A private key with an id, and how it signs. `algorithm`: RS256, PS256, ES256 or EdDSA."""

    def __init__(self, kid: str, algorithm: str = "RS256", bits: int = 2048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private: PrivateKey
        if algorithm in ("RS256", "PS256"):
            self.private = rsa.generate_private_key(65537, bits)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()

    def jwk(self, **more: Any) -> dict[str, Any]:
        """Its public part as the provider publishes it."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            numbers = self.private.public_key().public_numbers()
            parts = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        elif isinstance(self.private, ec.EllipticCurvePrivateKey):
            point = self.private.public_key().public_numbers()
            parts = {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}
        else:
            raw = self.private.public_key().public_bytes_raw()
            parts = {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw)}
        return {**parts, "kid": self.kid, "use": "sig", **more}

    def sign(self, data: bytes) -> bytes:
        """A signature as JWS has it."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            of_salt = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            scheme = of_salt if self.algorithm == "PS256" else padding.PKCS1v15()
            return self.private.sign(data, scheme, hashes.SHA256())
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return self.private.sign(data)


class TokenProvider:
    """An issuer whose tokens are made by `token`; its process serves what `publish` wrote last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = SigningKey("first")
        self.process: subprocess.Popen[bytes] | None = None
        self.describe()
        self.publish(self.key)

    def describe(self, **more: str) -> None:
        """What discovery says, changed by `more`."""
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **more}
        (self._folder / "openid.json").write_text(json.dumps(document))

    def publish(self, *keys: SigningKey | Mapping[str, Any] | str) -> None:
        """The keys that the provider names from now on."""
        listed = [key.jwk() if isinstance(key, SigningKey) else key for key in keys]
        self.publish_text(json.dumps({"keys": listed}))

    def publish_text(self, text: str) -> None:
        """What is served in place of the keys."""
        (self._folder / "jwks.json").write_text(text)

    def behave(self, how: str = "") -> None:
        """`slow`, `redirect ADDRESS`, or a status: what requests for the keys meet."""
        (self._folder / "behaviour").write_text(how)

    @property
    def asked(self) -> int:
        """How often the keys were asked for."""
        path = self._folder / "asked"
        return path.stat().st_size if path.exists() else 0

    @property
    def headers(self) -> dict[str, str]:
        """Of the last request for the keys."""
        headers: dict[str, str] = json.loads((self._folder / "headers").read_text())
        return headers

    def start(self) -> None:
        """Start its process and wait until it answers."""
        command = [sys.executable, "-m", "tests.collector.token_provider", str(self._folder), str(self.port)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        until(lambda: _is_open(self.port), what="the provider's start")

    def stop(self) -> None:
        """End its process."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def token(
        self,
        claims: Mapping[str, Any] | None = None,
        *,
        key: SigningKey | None = None,
        header: Mapping[str, Any] | None = None,
        without: str = "",
    ) -> str:
        """A token, good but for what the arguments change."""
        key = key or self.key
        now = int(time.time())
        usual = {
            "iss": self.url, "aud": "llmtrace", "sub": "workload", "iat": now, "exp": now + 300,
            "project": "shop", "roles": ["senders"],
        }  # fmt: skip
        all_claims = {**usual, **(claims or {})}
        all_claims.pop(without, None)
        heading = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid, **(header or {})}
        return sealed(json.dumps(heading), json.dumps(all_claims), key.sign)


def sealed(header: str, claims: str, sign: Any) -> str:
    """A token of these texts; `sign` makes a signature of bytes."""
    body = f"{encoded(header.encode())}.{encoded(claims.encode())}"
    return f"{body}.{encoded(sign(body.encode()))}"


def _is_open(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serve(folder: Path, port: int) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/.well-known/openid-configuration":
                self._answer(200, (folder / "openid.json").read_bytes())
                return
            with (folder / "asked").open("ab") as asked:
                asked.write(b".")
            (folder / "headers").write_text(json.dumps({k.lower(): v for k, v in self.headers.items()}))
            behaviour = folder / "behaviour"
            how, _, place = (behaviour.read_text() if behaviour.exists() else "").partition(" ")
            if how == "slow":
                self.send_response(200)
                self.send_header("content-length", "1000000")
                self.end_headers()
                for _ in range(200):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.05)
            elif how == "redirect":
                self.send_response(302)
                self.send_header("location", place)
                self.send_header("content-length", "0")
                self.end_headers()
            elif how:
                self._answer(int(how), b"{}")
            else:
                self._answer(200, (folder / "jwks.json").read_bytes())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
