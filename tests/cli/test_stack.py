"""Parts as processes: planned with their links, started privately, ended completely."""

import os
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import psutil
import pytest

from llmtrace_cli.config import load
from llmtrace_cli.config.settings import PartName
from llmtrace_cli.local_servers import free_port, is_free, port_holder
from llmtrace_cli.stack.processes import Process, Stack, plan, wait_ready
from tests.cli.running import clean_environment, is_alive, wait_until


def planned(tmp_path: Path, *names: PartName, **tables: dict[str, object]) -> Stack:
    """The stack of the named parts, or of all."""
    chosen: tuple[PartName, ...] = names or ("collector", "mlflow", "watch", "dashboard", "inference")
    settings = load.load(Path("/dev/null"), {"data_dir": tmp_path / "data", **tables}, chosen)
    return plan(settings, chosen)


def test_parts_are_pointed_at_each_other_unless_told_otherwise(tmp_path: Path) -> None:
    stack = planned(
        tmp_path,
        collector={"port": 4001, "read_key": "sesame-read", "ingest_key": "sesame-in"},
        mlflow={"port": 4002},
        dashboard={"port": 4003, "collector_url": "https://traces.example.com"},
    )
    settings = stack.settings
    assert settings.collector.mlflow_url == "http://127.0.0.1:4002"
    assert settings.collector.trace_url == "http://127.0.0.1:4003/traces?trace={trace_id}"
    assert settings.watch.collector_url == "http://127.0.0.1:4001"
    assert settings.watch.dashboard_url == "http://127.0.0.1:4003"
    assert settings.watch.data_dir == tmp_path / "data"
    assert settings.watch.read_key == settings.collector.read_key
    assert settings.dashboard.mlflow_url == "http://127.0.0.1:4002"
    assert settings.dashboard.collector_url == "https://traces.example.com"
    assert settings.inference.otlp_endpoint == "http://127.0.0.1:4001"
    assert settings.inference.otlp_api_key == settings.collector.ingest_key
    assert [part.url for part in stack.parts][:2] == ["http://127.0.0.1:4001", "http://127.0.0.1:4002"]


def test_without_mlflow_nobody_is_sent_there(tmp_path: Path) -> None:
    settings = planned(tmp_path, "collector", "dashboard").settings
    assert settings.collector.mlflow_url == ""
    assert settings.dashboard.mlflow_url == ""


def test_secrets_travel_in_a_private_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTRACE_COLLECTOR__INGEST_KEY", "sesame-in")
    monkeypatch.setenv("LLMTRACE_COLLECTOR__PORT", "4001")
    stack = planned(tmp_path, collector={"port": 4002})

    assert stack.file.stat().st_mode & 0o777 == 0o600
    collector = tomllib.loads(stack.file.read_text())["collector"]
    assert collector["ingest_key"] == "sesame-in"
    assert collector["port"] == 4002, "the command line overrules the environment, for the parts as well"
    for part in stack.parts:
        assert not any("sesame" in argument for argument in part.argv)
        assert not any(name.startswith("LLMTRACE_COLLECTOR__") for name in part.env)


def test_a_part_can_be_killed_and_started_again(tmp_path: Path) -> None:
    port = free_port()
    stack = planned(tmp_path, "collector", collector={"port": port})
    collector = Process(stack.part("collector"), tmp_path / "collector.log")
    try:
        collector.start()
        assert wait_ready(stack.parts, 60, alive=lambda _: collector.alive) == [], collector.tail()
        first = collector.pid
        assert not is_free("127.0.0.1", port)
        assert f"(pid {first})" in (port_holder(port) or "")

        collector.kill()
        assert not collector.alive
        assert wait_ready(stack.parts, 60, alive=lambda _: collector.alive) == [stack.part("collector")]

        collector.start()
        assert wait_ready(stack.parts, 60, alive=lambda _: collector.alive) == [], collector.tail()
        assert collector.pid != first
    finally:
        code = collector.stop()
    assert code in (0, -signal.SIGTERM)
    assert is_free("127.0.0.1", port)


def test_a_part_drains_and_stops_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    """Also when the supervisor started it from a thread, and when it is not the direct parent."""
    port = free_port()
    script = textwrap.dedent(f"""
        import threading, time
        from pathlib import Path
        from llmtrace_cli.config import load
        from llmtrace_cli.stack.processes import Process, plan, wait_ready
        base = Path({str(tmp_path)!r})
        overrides = {{"data_dir": base / "data", "collector": {{"port": {port}}}}}
        stack = plan(load.load(Path("/dev/null"), overrides), ["collector"])
        part = Process(stack.parts[0], base / "collector.log")
        thread = threading.Thread(target=part.start)
        thread.start()
        thread.join()
        assert not wait_ready(stack.parts, 60)
        time.sleep(1.0)
        print(part.pid, part.alive, flush=True)
        time.sleep(600)
    """)
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=clean_environment()
    )
    try:
        assert supervisor.stdout is not None
        pid, alive = supervisor.stdout.readline().split()
        assert alive == "True", "the end of the starting thread must not end the part"
        part = psutil.Process(int(pid))
    finally:
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.communicate()
    wait_until(lambda: not is_alive(part), 20)
    assert is_free("127.0.0.1", port)
