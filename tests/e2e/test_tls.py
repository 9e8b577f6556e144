"""SDK, inference service and export all reach a collector whose certificate a private authority signed."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from llmtrace_cli.main import cli
from llmtrace_inference.settings import InferenceSettings
from tests.certificates import LOCAL, issue
from tests.collector.otlp import llm, traces
from tests.collector.running import Launched, Served, settings, until
from tests.inference.running import serving
from tests.spooled import spool_files

MODEL = "tiny-chat-s"

_PROGRAM = """
import llmtrace
llmtrace.init(service_name="program")

@llmtrace.observe
def work(): ...

work()
print(llmtrace.flush(20), llmtrace.stats())
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """PEM files by name: those of the private authority's server and client, and their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    issue(folder, "authority")
    issue(folder, "server", LOCAL, signer="authority")
    issue(folder, "client", "extendedKeyUsage=clientAuth", signer="authority")
    return {file.stem: file for file in folder.glob("*.pem")}


@pytest.fixture(scope="module", params=["server's certificate", "mutual"])
def collector(
    request: pytest.FixtureRequest, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launched]:
    """A process that speaks TLS only; when mutual, with those alone who have the client's certificate."""
    fields: dict[str, Any] = {"tls_certificate": files["server"], "tls_key": files["server-key"]}
    if request.param == "mutual":
        fields["tls_client_ca"] = files["authority"]
    launched = Launched(settings(tmp_path_factory.mktemp("collector"), grpc_port=None, **fields))
    launched.start_tls(files["authority"], client=(files["client"], files["client-key"]))
    yield launched
    launched.stop()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A collector whose spans are sent on."""
    served = Served(settings(tmp_path_factory.mktemp("other")))
    assert served.post(traces([llm()], {"service.name": "sent-on"})).status_code == 200
    served.stored()
    yield served
    served.close()


def _url(collector: Launched) -> str:
    return f"https://localhost:{collector.settings.port}"


def _run_program(collector: Launched, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if "CERT" not in key}
    more = {"LLMTRACE_ENDPOINT": _url(collector), "LLMTRACE_SPOOL_DIR": str(folder / "spool")}
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=clean | more | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def _export(other: Served, collector: Launched, folder: Path, *words: str) -> Result:
    file = folder / "llmtrace.toml"
    configured = other.collector.settings
    file.write_text(f'[collector]\nport = {configured.port}\ndata_dir = "{configured.data_dir}"\n')
    arguments = ["--config", str(file), "store", "export", "--to", _url(collector), *words]
    return CliRunner().invoke(cli, arguments)


def _services(collector: Launched, files: dict[str, Path]) -> dict[str, int]:
    """Spans by service, as the collector answers over TLS."""
    context = ssl.create_default_context(cafile=str(files["authority"]))
    context.load_cert_chain(files["client"], files["client-key"])
    query = "SELECT ServiceName AS name, count() AS spans FROM otel_traces GROUP BY name FORMAT JSON"
    with httpx.Client(verify=context, trust_env=False, headers={"connection": "close"}) as client:
        answer = client.post(f"{_url(collector)}/clickhouse/", content=query, timeout=30)
    assert answer.status_code == 200, answer.text
    return {row["name"]: int(row["spans"]) for row in answer.json()["data"]}


def test_all_senders_reach_it(
    collector: Launched, other: Served, files: dict[str, Path], tmp_path: Path
) -> None:
    """Files are named in the environment to the SDK, in settings to the service, by options to the export."""
    mutual = collector.settings.tls_client_ca is not None
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(files["authority"])}
    fields: dict[str, Any] = {"certificate": files["authority"]}
    if mutual:
        environ["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"] = str(files["client"])
        environ["OTEL_EXPORTER_OTLP_CLIENT_KEY"] = str(files["client-key"])
        fields |= {"client_certificate": files["client"], "client_key": files["client-key"]}
    else:
        environ = {"SSL_CERT_FILE": str(files["authority"])}

    program = _run_program(collector, tmp_path, **environ)
    assert program.stdout.startswith("True "), program.stdout + program.stderr
    assert program.stderr == ""

    configured = InferenceSettings(
        models={MODEL: f"builtin:{MODEL}"},
        data_dir=tmp_path / "models",
        otlp_endpoint=_url(collector),
        **fields,
    )
    with serving(configured, export=True) as service:
        messages: Any = [{"role": "user", "content": "Hi"}]
        service.client.chat.completions.create(model=MODEL, messages=messages, max_tokens=2)
        assert service.app.state.flush(20)

    options = [word for name, file in fields.items() for word in (f"--{name.replace('_', '-')}", str(file))]
    exported = _export(other, collector, tmp_path, *options)
    assert (exported.exit_code, exported.stdout) == (0, "1 rows\n"), exported.output

    until(lambda: len(_services(collector, files)) == 3, 60, "what was sent in the store")
    services = _services(collector, files)
    assert services["program"] == services["sent-on"] == 1
    assert services["llmtrace-inference"] > 5


def test_those_that_it_does_not_admit_hear_why(
    collector: Launched, other: Served, files: dict[str, Path], tmp_path: Path
) -> None:
    """Without the authority's certificate, or where one is demanded without the client's."""
    if collector.settings.tls_client_ca is None:
        environ, options = {}, []
        reason = "(subject organizationName=Shop, commonName=server, issued by organizationName=Shop"
        remedy = "name its certificate, or its authority's, as `certificate`"
    else:
        environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(files["authority"])}
        options = ["--certificate", str(files["authority"])]
        reason, remedy = "demands a client certificate", "set `client_certificate` and `client_key`"
    before = _services(collector, files)

    program = _run_program(collector, tmp_path, **environ)
    assert program.stdout.startswith("False ")
    assert spool_files(tmp_path / "spool"), "what could not be sent is not lost"
    assert reason in program.stderr
    assert remedy in program.stderr

    refused = _export(other, collector, tmp_path, *options)
    assert refused.exit_code == 1
    assert reason in refused.stderr
    assert remedy in refused.stderr
    assert _services(collector, files) == before
