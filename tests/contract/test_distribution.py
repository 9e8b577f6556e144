"""What is shipped: one wheel with every package and data file, and a base install that is the SDK alone."""

import gzip
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [ROOT / path for path in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)], cwd=ROOT, check=True
    )
    return directory


def sources() -> set[str]:
    """Every file of the packages as it should be in the wheel."""
    return {
        str(file.relative_to(package.parent))
        for package in PACKAGES
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_holds_every_package_with_its_sql_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == sources()
    assert any(name.startswith("llmtrace_collector/") and name.endswith(".sql") for name in shipped)
    assert all(f"{package.name}/py.typed" in shipped for package in PACKAGES)


def test_the_source_distribution_can_be_built_from_and_carries_the_licence(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names
    assert not any(name.startswith(("tests/", "benchmarks/", ".llmtrace")) for name in names)
    assert {f"{package.parent.name}/{name}" for package in PACKAGES for name in sources()
            if name.startswith(f"{package.name}/")} <= names  # fmt: skip


def test_the_lock_pins_every_direct_dependency_with_its_hashes_and_no_gpu_library() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line[0] not in "# "]
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [^+/]+)? \\", pin) for pin in pins), pins
    hashes = [line for line in lines if line[0] == " "]
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)
    # pip demands a hash of all or of none.
    unhashed = [pin for pin, below in pairwise(lines) if pin in pins and "--hash" not in below]
    assert unhashed == []
    assert (ROOT / "torch.lock").read_text(encoding="utf-8").splitlines()[-1] == "torch==2.13.0"
    names = {pin.partition("==")[0] for pin in pins} | {"torch"}
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    wanted = [*project["dependencies"], *groups["build"]]
    wanted += [item for item in groups["dev"] if isinstance(item, str)]
    extras = project["optional-dependencies"]
    # torchao is slow to load where it is installed, so it comes only to those who ask for it.
    wanted += [item for name, extra in extras.items() if name != "quantisation" for item in extra]
    direct = {
        requirement.split("[")[0].split(">")[0].split("<")[0].split("=")[0].strip().lower().replace("_", "-")
        for requirement in wanted
    } - {"llmtrace"}
    assert direct <= names, "run scripts/lock"
    assert {n for n in names if n.startswith(("nvidia", "cuda", "triton"))} == {"nvidia-ml-py"}


def clean_environment(directory: Path, requirement: str) -> Path:
    """The interpreter of a new environment in which `pip install <requirement>` was run and nothing else."""
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    pins = directory / "constraints.txt"
    # A checkout has no hash, and beside constraints with hashes pip would demand one.
    pins.write_bytes(subprocess.check_output([ROOT / "scripts" / "requirements", "--pins"]))
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
         "--constraint", pins, requirement],
        check=True,
        timeout=240,
    )  # fmt: skip
    return python


def installed(python: Path) -> set[str]:
    """Names of the packages that an environment holds."""
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {package["name"] for package in json.loads(listing.stdout)}


@pytest.fixture(scope="module")
def base_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_environment(tmp_path_factory.mktemp("base") / "venv", str(ROOT))


@pytest.fixture(scope="module")
def analysis_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean_environment(tmp_path_factory.mktemp("analysis") / "venv", f"{ROOT}[analysis]")


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would reach llmtrace, and `variables`."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLMTRACE_", "OTEL_", "PYTHON"))
    }
    return clean | variables


def in_base(python: Path, script: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-c", textwrap.dedent(script)],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_base_install_is_the_sdk_alone(base_python: Path, tmp_path: Path) -> None:
    heavy = {
        "torch",
        "fastapi",
        "chdb",
        "clickhouse-connect",
        "streamlit",
        "mlflow",
        "pydantic",
        "numpy",
        "httpx",
    }
    packages = {name.lower() for name in installed(base_python)}
    assert not heavy & packages
    assert len(packages) < 30, sorted(packages)


def test_the_base_install_has_a_command_line_that_says_what_to_install(
    base_python: Path, tmp_path: Path
) -> None:
    llmtrace = base_python.with_name("llmtrace")
    help_text = subprocess.run([llmtrace, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "llmtrace up" in help_text.stdout
    for command, extra in {
        "collector": "collector",
        "watch": "analysis",
        "dashboard": "dashboard",
        "up": "all",
        "demo": "all",
    }.items():
        refused = subprocess.run(
            [llmtrace, command], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert refused.returncode == 1
        assert refused.stderr.endswith(f"Install it with: pip install 'llmtrace[{extra}]'\n"), refused.stderr
    checked = subprocess.run(
        [llmtrace, "doctor", "--json"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    status = {check["name"]: check["status"] for check in json.loads(checked.stdout)["checks"]}
    assert status["packages: base"] == "ok"
    assert status["packages: collector"] == status["configuration"] == "skip"


class Receiver(http.server.ThreadingHTTPServer):
    """An OTLP/HTTP endpoint that remembers the spans it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Receiver)
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.server.services |= {
                    a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
                }
                self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_the_base_install_traces(base_python: Path, receiver: Receiver, tmp_path: Path) -> None:
    done = in_base(
        base_python,
        """
        import llmtrace

        llmtrace.init(service_name="base-install")

        @llmtrace.observe
        def outer(x):
            return inner(x) + 1

        @llmtrace.observe
        def inner(x):
            return 2 * x

        with llmtrace.context(user_id="ada"):
            assert outer(20) == 41
        """,
        tmp_path,
        LLMTRACE_ENDPOINT=receiver.url,
        HOME=str(tmp_path),
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr

    spans = {span.name.rpartition(".")[2]: span for span in receiver.spans}
    assert set(spans) == {"outer", "inner"}, "flushed at exit, each once"
    assert len(receiver.spans) == 2
    assert spans["inner"].parent_span_id == spans["outer"].span_id
    assert receiver.services == {"base-install"}
    users = {a.value.string_value for s in receiver.spans for a in s.attributes if a.key == "user.id"}
    assert users == {"ada"}


@contextmanager
def running(command: list[str], ready: str, cwd: Path, **variables: str) -> Iterator[None]:
    """A process from the time that `ready` answers 200; it is stopped afterwards, and must stop cleanly."""
    with (cwd / "output").open("w+") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(**variables), stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                with suppress(httpx.HTTPError):  # not there yet: the assertion bounds the waiting
                    if httpx.get(ready, timeout=2).status_code == 200:
                        break
                output.seek(0)
                assert process.poll() is None, output.read()
                assert time.monotonic() < deadline, output.read()
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            code = process.wait(30)
        output.seek(0)
        assert code in (0, -signal.SIGTERM), output.read()  # uvicorn stops, then takes the signal after all


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_extra_analysis_reports_cost_and_watches_without_streamlit(
    analysis_python: Path, tmp_path: Path
) -> None:
    """Against a collector of the full installation, with a call that was sent as OTLP in JSON."""
    assert not {"streamlit", "altair", "torch", "chdb", "mlflow"} & installed(analysis_python)
    llmtrace = str(analysis_python.with_name("llmtrace"))
    data, watching = tmp_path / "collector", tmp_path / "watch"
    data.mkdir()
    watching.mkdir()
    url, health = f"http://127.0.0.1:{free_port()}", free_port()
    collector = [sys.executable, "-m", "llmtrace_cli", "collector", "--port", url.rpartition(":")[2]]
    with running([*collector, "--data-dir", str(data)], url + "/health/ready", data):
        now = time.time_ns()
        values = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                  "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 1_000_000}  # fmt: skip
        attributes = [
            {"key": key, "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value}}
            for key, value in values.items()
        ]
        span = {"traceId": "0" * 31 + "1", "spanId": "0" * 15 + "1", "name": "chat gpt-4o", "kind": 3,
                "startTimeUnixNano": str(now - 10**9), "endTimeUnixNano": str(now),
                "attributes": attributes}  # fmt: skip
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        httpx.post(url + "/v1/traces", json=body).raise_for_status()

        deadline = time.monotonic() + 60
        while True:
            reported = subprocess.run(
                [llmtrace, "cost", "report", "--by", "model", "--format", "json", "--url", url],
                cwd=tmp_path,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert reported.returncode == 0, reported.stderr
            rows = json.loads(reported.stdout)
            if rows and rows[0]["cost"] is not None:
                break
            assert time.monotonic() < deadline, reported.stdout
            time.sleep(1)
        assert [(row["model"], row["calls"], row["cost"]) for row in rows] == [("gpt-4o", 1, 2.5)]
        subprocess.run(
            [llmtrace, "cost", "report", "--format", "parquet", "--output", "report.parquet", "--url", url],
            cwd=tmp_path,
            env=environment(),
            check=True,
        )
        assert (tmp_path / "report.parquet").read_bytes().startswith(b"PAR1")

        with running(
            [llmtrace, "watch"],
            f"http://127.0.0.1:{health}/health/ready",
            watching,
            LLMTRACE_WATCH__COLLECTOR_URL=url,
            LLMTRACE_WATCH__DATA_DIR=str(data),
            LLMTRACE_WATCH__HEALTH_PORT=str(health),
        ):
            metrics = httpx.get(f"http://127.0.0.1:{health}/metrics").text
        assert "llmtrace_watch" in metrics
