"""The one client of the collector: over mutual TLS, with keys, and with errors that say what to do."""

import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from llmtrace_analysis.collector_client import (
    CertificateRefused,
    CollectorClient,
    CollectorRefused,
    CollectorUnavailable,
    KeyRefused,
    connect,
    connect_reader,
)
from llmtrace_analysis.settings import CollectorConnection
from llmtrace_cli.local_servers import free_port
from tests.cli.running import run
from tests.collector.otlp import llm, traces
from tests.collector.running import (
    PROTOBUF,
    Launched,
    make_certificate,
    make_client_certificate,
    settings,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("client")


@pytest.fixture(scope="module")
def certificate(folder: Path) -> tuple[Path, Path]:
    """The collector's certificate and key."""
    return make_certificate(folder)


@pytest.fixture(scope="module")
def authority(folder: Path) -> tuple[Path, Path, Path]:
    """The clients' authority, and the certificate and key of a client."""
    return make_client_certificate(folder / "clients")


@pytest.fixture(scope="module")
def collector(
    folder: Path, certificate: tuple[Path, Path], authority: tuple[Path, Path, Path]
) -> Iterator[Launched]:
    """A collector that demands certificates of clients and keys, with one call in its store."""
    configured = settings(
        folder / "data",
        tls_certificate=certificate[0],
        tls_key=certificate[1],
        tls_client_ca=authority[0],
        require_keys=True,
    )
    launched = Launched(configured)
    launched.start_tls(certificate[0], client=authority[1:])
    context = ssl.create_default_context(cafile=certificate[0])
    context.load_cert_chain(*authority[1:])
    with httpx.Client(verify=context, trust_env=False, headers={"connection": "close"}) as client:
        sent = client.post(
            f"https://127.0.0.1:{configured.port}/v1/traces",
            content=traces([llm()]).SerializeToString(),
            headers=PROTOBUF | {"authorization": f"Bearer {launched.admin_key}"},
        )
    assert sent.status_code == 200
    launched.stored()
    yield launched
    launched.stop()


@pytest.fixture
def files(certificate: tuple[Path, Path], authority: tuple[Path, Path, Path]) -> dict[str, Path]:
    """What a client needs to be let in."""
    return {"certificate": certificate[0], "client_certificate": authority[1], "client_key": authority[2]}


def connection(collector: Launched, **fields: Any) -> CollectorConnection:
    return CollectorConnection(
        collector_url=f"https://127.0.0.1:{collector.settings.port}",
        data_dir=collector.settings.data_dir,
        **fields,
    )


def test_every_endpoint_is_reached_over_mutual_tls(collector: Launched, files: dict[str, Path]) -> None:
    with closing(connect(connection(collector, **files))) as client:
        created = client.create_key({"role": "read", "project": "shop", "name": "a/b"})
        assert [key["name"] for key in client.api_keys()] == ["a/b"]
        client.revoke_key(created["key_id"])
        assert client.api_keys()[0]["revoked_at"]
        assert {"otel_traces"} <= {table["table"] for table in client.stats()}
        assert client.erase("nobody\t\\", dry_run=True)["counts"]["otel_traces"] == 0
        assert client.quarantine() == []
        assert client.backups() == []
        assert client.budgets() == []
        assert client.budgets_of(user="u") == []
        named = client.query(
            "SELECT {text:String} FROM otel_traces FORMAT JSONEachRow", {"text": "a\t\\b\n'"}
        )
        assert list(json.loads(named).values()) == ["a\t\\b\n'"]
        book = client.set_price(
            {"model": "m", "input_per_million": 1.0, "output_per_million": 2.0, "actor": "ann"}
        )
        assert client.update_prices([], dry_run=True)
        assert client.select_book(book, "ann", "again") == book
        with pytest.raises(CollectorRefused, match="404"):
            client.revoke_key("key_none")
    reader = connect_reader(connection(collector, **files))
    with closing(reader):
        assert reader.query("SELECT count() FROM otel_traces").result_rows == [(1,)]


def test_files_of_the_environment_serve_as_well(
    collector: Launched, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, file in files.items():
        monkeypatch.setenv(f"LLMTRACE_{name}".upper(), str(file))
    with closing(connect(connection(collector))) as client:
        assert client.stats()
    monkeypatch.delenv("LLMTRACE_CERTIFICATE")
    monkeypatch.setenv("SSL_CERT_FILE", str(files["certificate"]))
    with closing(connect(connection(collector))) as client:
        assert client.stats()


def test_the_prices_of_a_store_without_calls_are_a_list_without_rows(tmp_path: Path) -> None:
    with Launched(settings(tmp_path / "data")) as collector:
        address = ("--url", collector.url)
        listed = run("cost", "prices", "list", *address, cwd=tmp_path)
        assert (listed.returncode, listed.stdout) == (0, "no calls\n"), listed.stderr
        assert listed.stderr.startswith("book: genai-prices ")
        unknown = run("cost", "prices", "list", "--book", "none", *address, cwd=tmp_path)
        assert "Error: there is no book 'none'; there are 'genai-prices " in unknown.stderr


def test_a_refused_certificate_names_the_subject_the_file_and_the_remedy(
    collector: Launched, files: dict[str, Path], authority: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    trusted, mine = files["certificate"], {name: files[name] for name in ("client_certificate", "client_key")}
    stranger = make_client_certificate(tmp_path)
    for fields, message in (
        (
            mine | {"certificate": authority[0]},
            rf"subject commonName=localhost.*{authority[0]}.*`certificate`",
        ),
        ({"certificate": trusted}, "demands a client certificate: set `client_certificate`"),
        (
            {"certificate": trusted, "client_certificate": stranger[1], "client_key": stranger[2]},
            rf"refuses the client certificate {stranger[1]} \(subject .*\): take one that an authority",
        ),
    ):
        with (
            closing(connect(connection(collector, **fields))) as client,
            pytest.raises(CertificateRefused, match=message),
        ):
            client.stats()
    with pytest.raises(OperationalError, match=rf"subject commonName=localhost.*trusted: {authority[0]}"):
        connect_reader(connection(collector, **mine, certificate=authority[0]))


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for name, message in (
        ("certificate", "certificate .*empty.pem holds no certificate in PEM form"),
        ("client_certificate", "client_"),
    ):
        with pytest.raises(ValueError, match=message):
            connect(CollectorConnection.model_validate({name: empty}))
    with pytest.raises(ValueError, match="client_key is the key of a client_certificate"):
        CollectorConnection(client_key=empty)


def test_what_can_be_repeated_is_told_from_what_is_refused(
    collector: Launched, files: dict[str, Path]
) -> None:
    reached = connection(collector, **files)
    with (
        closing(CollectorClient(reached.collector_url, lambda: "wrong", reached.tls_files())) as client,
        pytest.raises(KeyRefused, match="it answers 401"),
    ):
        client.stats()
    nobody = f"http://127.0.0.1:{free_port()}"
    with (
        closing(CollectorClient(nobody, lambda: "key")) as client,
        pytest.raises(CollectorUnavailable, match="ConnectError") as unavailable,
    ):
        client.api_keys()
    assert unavailable.value.status == 0


def test_commands_reach_a_collector_of_the_settings_alone(
    collector: Launched, files: dict[str, Path], tmp_path: Path
) -> None:
    config = tmp_path / "llmtrace.toml"
    config.write_text(
        f'[collector]\nport = {collector.settings.port}\ndata_dir = "{collector.settings.data_dir}"\n'
        f'tls_certificate = "{collector.settings.tls_certificate}"\n'
        f'tls_key = "{collector.settings.tls_key}"\ntls_client_ca = "{collector.settings.tls_client_ca}"\n'
    )
    client = {f"LLMTRACE_{name}".upper(): str(files[name]) for name in ("client_certificate", "client_key")}
    for command in (["store", "stats"], ["cost", "report"], ["cost", "prices", "books"]):
        done = run(*command, cwd=tmp_path, **client)
        assert done.returncode == 0, done.stderr
    refused = run("store", "stats", cwd=tmp_path)
    assert refused.returncode == 1
    assert "demands a client certificate: set `client_certificate` and `client_key`" in refused.stderr
    missing = run("keys", "list", cwd=tmp_path, LLMTRACE_COLLECTOR__DATA_DIR=str(tmp_path / "none"), **client)
    assert "the admin key is needed and" in missing.stderr
    gone = run("keys", "revoke", "key_none", cwd=tmp_path, **client)
    assert gone.stderr.strip() == (
        "Error: the collector answered 404: there is no key key_none: `llmtrace keys list` shows them"
    )
    unreachable = run("keys", "list", cwd=tmp_path, LLMTRACE_COLLECTOR__PORT=str(free_port()), **client)
    assert "no collector answers at https://127.0.0.1:" in unreachable.stderr
    assert "start it with `llmtrace up` or `llmtrace collector`" in unreachable.stderr
