"""TLS covers both ports, and demands certificates of clients where it is set to."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from llmtrace_collector.app import create_app
from llmtrace_collector.settings import CollectorSettings

from .otlp import span, traces
from .running import (
    PROTOBUF,
    Launched,
    free_port,
    make_certificate,
    make_client_certificate,
    settings,
)

Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def certificate(folder: Path) -> Pair:
    """The collector's certificate and key."""
    return make_certificate(folder)


@pytest.fixture(scope="module")
def authority(folder: Path) -> tuple[Path, Path, Path]:
    """The clients' authority, and the certificate and key of a client."""
    return make_client_certificate(folder / "clients")


@pytest.fixture(scope="module")
def strict(folder: Path, certificate: Pair, authority: tuple[Path, Path, Path]) -> Iterator[Launched]:
    """A collector that demands certificates of clients."""
    configured = settings(
        folder / "strict",
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        tls_client_ca=authority[0],
        grpc_port=free_port(),
    )
    collector = Launched(configured)
    collector.start_tls(certificate[0], client=authority[1:])
    yield collector
    collector.stop()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def post(collector: Launched, trusted: Path, client: Pair | None, body: bytes) -> int:
    """The status of an OTLP request over HTTPS; raises httpx.TransportError where no connection is made."""
    context = ssl.create_default_context(cafile=str(trusted))
    if client is not None:
        context.load_cert_chain(*client)
    closing = {"connection": "close"}  # a stop waits for open ones
    with httpx.Client(verify=context, trust_env=False, headers=PROTOBUF | closing) as http:
        return http.post(f"https://localhost:{collector.settings.port}/v1/traces", content=body).status_code


def export(collector: Launched, trusted: Path, client: Pair | None, request: Any, key: str = "") -> None:
    """Send over gRPC; raises grpc.RpcError."""
    certificate, private = (None, None) if client is None else (path.read_bytes() for path in client)
    credentials = grpc.ssl_channel_credentials(trusted.read_bytes(), private, certificate)
    metadata = tuple(bearer(key).items()) if key else None
    with grpc.secure_channel(f"localhost:{collector.settings.grpc_port}", credentials) as channel:
        stub: Any = trace_service_pb2_grpc.TraceServiceStub
        stub(channel).Export(request, metadata=metadata, timeout=20)


def test_keys_outlive_a_restart_and_tls_covers_both_ports(tmp_path: Path, certificate: Pair) -> None:
    configured = settings(
        tmp_path / "data",
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        grpc_port=free_port(),
        require_keys=True,
    )
    collector = Launched(configured)
    collector.start_tls(certificate[0])
    url = f"https://localhost:{configured.port}"
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    closing = {"connection": "close"}
    with httpx.Client(verify=trusted, trust_env=False, headers=closing) as client:
        admin = bearer(collector.admin_key)
        assert client.post(f"{url}/v1/traces", content=b"", headers=PROTOBUF).status_code == 401
        created = client.post(f"{url}/v1/keys", json={"role": "ingest", "project": "p"}, headers=admin).json()
        assert collector.stop() is not None
        collector.start_tls(certificate[0])
        headers = {**PROTOBUF, **bearer(created["key"])}
        assert client.post(f"{url}/v1/traces", content=b"", headers=headers).status_code == 200
    export(collector, certificate[0], None, traces([]), created["key"])
    collector.stop()


def test_a_client_of_the_authority_is_served_on_both_ports(
    strict: Launched, certificate: Pair, authority: tuple[Path, Path, Path]
) -> None:
    body = traces([span()]).SerializeToString()
    assert post(strict, certificate[0], authority[1:], body) == 200
    export(strict, certificate[0], authority[1:], traces([span()]))


@pytest.mark.parametrize("kind", ["none", "of another authority"])
def test_other_clients_reach_neither_port(
    strict: Launched, certificate: Pair, tmp_path: Path, kind: str
) -> None:
    client = None if kind == "none" else make_client_certificate(tmp_path)[1:]
    with pytest.raises(httpx.TransportError):
        post(strict, certificate[0], client, traces([span()]).SerializeToString())
    with pytest.raises(grpc.RpcError) as refused:
        export(strict, certificate[0], client, traces([span()]))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tls_certificate": "c.pem"}, "belong together"),
        ({"tls_client_ca": "ca.pem"}, "tls_client_ca needs TLS: set tls_certificate and tls_key"),
    ],
)
def test_half_of_the_settings_is_an_error(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CollectorSettings.model_validate({"data_dir": tmp_path, **fields})


@pytest.mark.parametrize(("setting", "text"), [("tls_certificate", None), ("tls_client_ca", "no PEM")])
def test_a_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, certificate: Pair, setting: str, text: str | None
) -> None:
    bad = tmp_path / "bad.pem"
    if text is not None:
        bad.write_text(text)
    fields = {"tls_certificate": certificate[0], "tls_key": certificate[1], setting: bad}
    with pytest.raises(ValueError, match=rf"collector\.{setting} = '.*bad\.pem' cannot be used"):
        create_app(CollectorSettings.model_validate({"data_dir": tmp_path, **fields}))
