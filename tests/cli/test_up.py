"""`llmtrace up`: everything starts, says where it is, and nothing outlives it."""

import signal
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from llmtrace_cli.healthcheck import healthy
from llmtrace_cli.local_servers import free_port, is_free
from tests.cli.running import Running, run, running, wait_until
from tests.collector.otlp import llm, traces
from tests.collector.running import PROTOBUF, make_certificate, make_client_certificate


@pytest.fixture
def ports() -> dict[str, int]:
    return {name: free_port() for name in ("collector", "mlflow", "dashboard")}


def up(ports: dict[str, int], *more: str) -> list[str]:
    return [
        "up", "--port", str(ports["collector"]), "--mlflow-port", str(ports["mlflow"]),
        "--dashboard-port", str(ports["dashboard"]), *more,
    ]  # fmt: skip


def stopped(it: Running, timeout: float = 30) -> int:
    return it.popen.wait(timeout)


def test_all_parts_start_and_ctrl_c_stops_them_cleanly(ports: dict[str, int], tmp_path: Path) -> None:
    with running(*up(ports), cwd=tmp_path) as it:
        output = it.wait_for("llmtrace is up")
        for name, port in ports.items():
            assert f"http://127.0.0.1:{port}" in output, name
        assert healthy(f"http://127.0.0.1:{ports['collector']}/health/ready")
        assert healthy(f"http://127.0.0.1:{ports['mlflow']}/health")
        assert healthy(f"http://127.0.0.1:{ports['dashboard']}/_stcore/health")
        assert it.part("watch").is_running()
        assert "collector_away" not in output, "watch starts once there is something to watch"
        secrets = (tmp_path / ".llmtrace" / "admin.key").read_text().strip()
        assert not any(secrets in argument for process in it.processes() for argument in process.cmdline())

        it.popen.send_signal(signal.SIGINT)

        assert stopped(it) == 0, it.output()
        assert it.left_over() == []
        assert it.output().rstrip().endswith("stopped")
        assert "Traceback" not in it.output()
        assert all(is_free("127.0.0.1", port) for port in ports.values())
        assert list((tmp_path / ".llmtrace" / "run").iterdir()) == [], "the file with the keys is gone"


def test_a_part_that_dies_takes_the_others_along_and_is_named(ports: dict[str, int], tmp_path: Path) -> None:
    with running(*up(ports, "--no-mlflow", "--no-dashboard"), cwd=tmp_path) as it:
        it.wait_for("llmtrace is up")
        it.part("watch").send_signal(signal.SIGKILL)

        assert stopped(it) == 1
        assert "Error: watch stopped (killed by signal 9); its last lines:" in it.output()
        assert it.left_over() == []


def test_nothing_is_left_when_up_itself_is_killed(ports: dict[str, int], tmp_path: Path) -> None:
    with running(*up(ports, "--no-dashboard"), cwd=tmp_path) as it:
        it.wait_for("llmtrace is up")
        assert len(it.processes()) >= 7, "three parts, the process manager's three, and MLflow's worker"

        it.popen.send_signal(signal.SIGKILL)

        stopped(it)
        assert it.left_over() == []
        assert all(is_free("127.0.0.1", port) for port in ports.values())


def test_sigterm_while_parts_are_still_starting_is_a_clean_stop_too(
    ports: dict[str, int], tmp_path: Path
) -> None:
    with running(*up(ports, "--no-dashboard"), cwd=tmp_path) as it:
        it.wait_for("mlflow started")
        it.popen.send_signal(signal.SIGTERM)
        assert stopped(it) == 0, it.output()
        assert it.left_over() == []
        assert "llmtrace is up" not in it.output()


def test_both_ports_of_the_collector_speak_tls_and_demand_keys(ports: dict[str, int], tmp_path: Path) -> None:
    certificate, private = make_certificate(tmp_path)
    authority, client_certificate, client_key = make_client_certificate(tmp_path / "clients")
    grpc_port = free_port()
    config = tmp_path / "llmtrace.toml"
    config.write_text(
        f'[collector]\ntls_certificate = "{certificate}"\ntls_key = "{private}"\n'
        f'tls_client_ca = "{authority}"\n'
        f'grpc_port = {grpc_port}\ningest_key = "in-key"\nread_key = "out-key"\n'
    )
    client_files = {
        "LLMTRACE_CLIENT_CERTIFICATE": str(client_certificate),
        "LLMTRACE_CLIENT_KEY": str(client_key),
    }
    sent = [llm(), llm()]
    arguments = ("--config", str(config), *up(ports, "--no-mlflow", "--no-dashboard"))
    with running(*arguments, cwd=tmp_path, **client_files) as it:
        output = it.wait_for("llmtrace is up")
        url = f"https://127.0.0.1:{ports['collector']}"
        assert url in output
        trusted = ssl.create_default_context(cafile=str(certificate))
        trusted.load_cert_chain(client_certificate, client_key)
        with httpx.Client(base_url=url, verify=trusted, trust_env=False, timeout=30) as client:
            body = traces(sent[:1]).SerializeToString()
            assert client.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 401
            key = {"authorization": "Bearer in-key"}
            assert client.post("/v1/traces", content=body, headers=PROTOBUF | key).status_code == 200
            credentials = grpc.ssl_channel_credentials(
                certificate.read_bytes(), client_key.read_bytes(), client_certificate.read_bytes()
            )
            with grpc.secure_channel(f"127.0.0.1:{grpc_port}", credentials) as channel:
                stub: Any = trace_service_pb2_grpc.TraceServiceStub
                export = stub(channel).Export
                with pytest.raises(grpc.RpcError) as refused:
                    export(traces(sent[1:]))
                assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
                export(traces(sent[1:]), metadata=tuple(key.items()))

            def stored() -> bool:
                text = "SELECT uniqExact(SpanId) FROM otel_traces"
                answer = client.post("/clickhouse/", content=text, headers={"x-api-key": "out-key"})
                return answer.text.strip() == "2"

            wait_until(stored, 60, it.output)
        assert it.part("watch").is_running()
        assert "collector_away" not in it.output(), "watch trusts the certificate, and presents its own"
        it.popen.send_signal(signal.SIGINT)
        assert stopped(it) == 0, it.output()


def test_a_busy_port_is_named_before_anything_starts(ports: dict[str, int], tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", ports["mlflow"]))
        squatter.listen()
        refused = run(*up(ports), cwd=tmp_path)
    assert refused.returncode == 1
    assert f"port {ports['mlflow']} for mlflow is taken by" in refused.stderr
    assert f"(pid {psutil.Process().pid})" in refused.stderr
    assert "[mlflow] port in llmtrace.toml or LLMTRACE_MLFLOW__PORT" in refused.stderr
    assert "starting" not in refused.stdout


def test_a_part_alone_stops_on_ctrl_c_without_a_traceback(ports: dict[str, int], tmp_path: Path) -> None:
    with running("collector", "--port", str(ports["collector"]), cwd=tmp_path) as it:
        wait_until(lambda: healthy(f"http://127.0.0.1:{ports['collector']}/health/ready"), 60, it.output)
        time.sleep(0.2)
        it.popen.send_signal(signal.SIGINT)
        assert stopped(it) in (0, -signal.SIGINT)
        assert "Traceback" not in it.output()
        assert "Aborted" not in it.output()
