"""`llmtrace doctor` finds what is wrong and names the remedy."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtrace.doctor.exporter import clock
from llmtrace.doctor.http_request import ExporterResponse
from llmtrace_cli.config import load
from llmtrace_cli.local_servers import free_port
from llmtrace_cli.stack.processes import Process, plan, wait_ready
from tests.cli.running import run


@pytest.fixture
def ports() -> dict[str, str]:
    """Free ports for every server, so that the machine's own use of the usual ones does not matter."""
    return {
        f"LLMTRACE_{name}__PORT": str(free_port())
        for name in ("COLLECTOR", "MLFLOW", "DASHBOARD", "INFERENCE")
    }


def doctor(cwd: Path, *arguments: str, **env: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = run("doctor", "--json", *arguments, cwd=cwd, **env)
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in report["checks"]}


def test_a_good_machine_passes_and_nothing_is_left_behind(tmp_path: Path, ports: dict[str, str]) -> None:
    code, results = doctor(tmp_path, **ports)
    assert code == 0, results
    assert {check["status"] for check in results.values()} <= {"ok", "skip", "warn"}
    assert results["exporter"]["status"] == "skip"
    assert list(tmp_path.iterdir()) == []

    text = run("doctor", cwd=tmp_path, **ports)
    assert "nothing is wrong" in text.stdout


def test_each_fault_is_named_with_its_remedy(tmp_path: Path, ports: dict[str, str]) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        taken = squatter.getsockname()[1]
        data = tmp_path / "data"
        data.mkdir()
        key = data / "admin.key"
        key.write_text("secret")
        key.chmod(0o644)
        env = ports | {
            "LLMTRACE_DASHBOARD__PORT": str(taken),
            "LLMTRACE_DATA_DIR": str(data),
            "LLMTRACE_COLLECTOR__HOST": "0.0.0.0",
            "LLMTRACE_COLLECTOR__STORE": f"clickhouse://u:sesame@127.0.0.1:{free_port()}/db",
        }
        code, results = doctor(tmp_path, "--endpoint", f"http://127.0.0.1:{free_port()}", **env)

    assert code == 1
    failed = {name: check for name, check in results.items() if check["status"] == "fail"}
    assert set(failed) == {"port: dashboard", "store", "keys", "admin key", "exporter"}
    assert f"{taken} is taken by" in failed["port: dashboard"]["detail"]
    assert str(os.getpid()) in failed["port: dashboard"]["detail"]
    assert "LLMTRACE_DASHBOARD__PORT" in failed["port: dashboard"]["remedy"]
    assert "LLMTRACE_COLLECTOR__INGEST_KEY" in failed["keys"]["remedy"]
    assert failed["admin key"]["remedy"] == f"chmod 600 {key}"
    assert "does not answer" in failed["store"]["detail"]
    assert "sesame" not in json.dumps(results)


def test_settings_that_cannot_be_read_fail_but_the_other_checks_go_on(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    (tmp_path / "llmtrace.toml").write_text("[collector]\nprot = 1\n")
    code, results = doctor(tmp_path, **ports)
    assert code == 1
    assert "did you mean [collector] port?" in results["configuration"]["detail"]
    assert results["clock"]["status"] == "ok"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[str]:
    settings = load.load(
        Path("/dev/null"),
        {"data_dir": tmp_path / "data", "collector": {"port": free_port(), "ingest_key": "sesame"}},
    )
    stack = plan(settings, ["collector"])
    process = Process(stack.parts[0], tmp_path / "collector.log")
    process.start()
    try:
        assert wait_ready(stack.parts, 60, alive=lambda _: process.alive) == [], process.tail()
        yield stack.part("collector").url or ""
    finally:
        process.stop()


def test_a_running_collector_is_recognised_and_asked(
    collector: str, tmp_path: Path, ports: dict[str, str]
) -> None:
    env = ports | {
        "LLMTRACE_COLLECTOR__PORT": collector.rpartition(":")[2],
        "LLMTRACE_DATA_DIR": str(tmp_path / "data"),
    }

    code, results = doctor(tmp_path, LLMTRACE_API_KEY="sesame", **env)
    assert code == 0, results
    assert "has the collector" in results["port: collector"]["detail"]
    assert results["exporter"]["detail"] == f"{collector}/v1/traces accepts spans"
    assert results["clock"]["detail"] == "agrees with the file system and the collector"

    here = {"LLMTRACE_SPOOL_DIR": str(tmp_path / "spool")}
    code, results = doctor(tmp_path, "--here", "--endpoint", collector, LLMTRACE_API_KEY="sesame", **here)
    assert code == 0, results
    assert "/traces?trace=" in results["test span"]["detail"]
    assert results["hook: urllib3"]["status"] == "ok"

    code, results = doctor(tmp_path, LLMTRACE_API_KEY="wrong", **env)
    assert code == 1
    assert "401" in results["exporter"]["detail"]
    assert "LLMTRACE_API_KEY" in results["exporter"]["remedy"]


def test_a_clock_that_is_off_is_noticed() -> None:
    response = ExporterResponse(200, "Fri, 01 Jan 2021 00:00:00 GMT", "")
    result = clock(response)
    assert result.status == "fail"
    assert "synchronise" in result.remedy
