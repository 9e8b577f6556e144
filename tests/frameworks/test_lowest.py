"""The lowest versions that pyproject.toml allows, with wrapt 1, which aiobotocore holds: all is traced."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib

from packaging.version import Version

from .running import ROOT, needs

#: What stands on the SDK's own dependencies and the hooked libraries, and on nothing else.
FILES = (
    *("test_hooks.py", "test_http_spans.py", "test_import_hook.py", "test_stream_joiner.py"),
    *(
        "test_stream_readers.py",
        "test_stream_timing.py",
        "test_streams.py",
        "test_steps.py",
        "test_context.py",
    ),
    *("test_wire.py", "test_wire_odd.py", "test_wire_samples.py", "test_background_responses.py"),
    *("test_otlp_encoder.py", "test_delivery.py", "test_delivery_failures.py"),
    *("test_tls.py", "test_logs.py"),
)
HOME = ROOT / ".venvs" / "lowest"
ENVIRONMENT = {
    **{
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "LLMTRACE_", "COV"))
    },
    "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}",
}

pytestmark = needs("lowest")


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(HOME / "bin/python"), "-P", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_these_are_the_lowest() -> None:
    """The lock file is that of the bounds in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = dict(requirement.split(">=") for requirement in project["dependencies"])
    bounds |= {"urllib3": "1.26", "aiobotocore": "2.13.1"}
    printed = _python(
        "-c", "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))", *bounds
    )
    versions = dict(zip(bounds, printed.stdout.split(), strict=True))
    assert {name: Version(version) for name, version in versions.items()} == {
        name: Version(bound) for name, bound in bounds.items()
    }


def test_transports_and_wire() -> None:
    files = [str(ROOT / "tests/sdk" / name) for name in FILES]
    ended = _python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=100", *files)
    assert ended.returncode == 0, ended.stdout[-6000:]
    assert " passed" in ended.stdout


@needs("lowest-older")
def test_what_is_older_still_is_traced() -> None:
    """As `python -m llmtrace.doctor` says of an environment with wrapt 1 beside urllib3 2."""
    home = ROOT / ".venvs" / "lowest-older"
    ended = subprocess.run(
        [
            str(home / "bin/python"),
            "-P",
            "-m",
            "llmtrace.doctor",
            "--json",
            "--endpoint",
            "http://127.0.0.1:9",
        ],
        env={**ENVIRONMENT, "LLMTRACE_SPOOL_DIR": "off"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    checks = json.loads(ended.stdout)["checks"]
    hooks = {
        check["name"].removeprefix("hook: "): check["detail"] for check in checks if "hook" in check["name"]
    }
    assert [*hooks] == ["httpx", "requests", "urllib3", "aiohttp"]
    assert all(detail.endswith("is traced") for detail in hooks.values()), hooks
    assert hooks["httpx"].startswith("httpx 0.23.0 ")
    assert hooks["aiohttp"].startswith("aiohttp 3.8.3 ")
