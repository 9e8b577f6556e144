"""The scripts: run from anywhere, install once, pass on options and exit codes.

The real installation takes minutes and is what these tests run in; here a stand-in for Python records
what it is asked to do.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
[[ "$1 $2" == "-m venv" ]] && mkdir -p "$3/bin" && for tool in python ruff mypy lint-imports llmtrace; do
  cp "$0" "$3/bin/$tool"
done
if [[ "$*" == *"-r requirements.lock"* && -n "$PIP_SAYS" ]]; then
  cat "$PIP_SAYS"; echo "WARNING: an index is away" >&2
fi
[[ -n "$FAIL" && "$(basename "$0") $*" == *"$FAIL"* ]] && exit 7
exit 0
"""


class Clone:
    """A copy of what the scripts need, with a Python that only takes notes."""

    def __init__(self, root: Path) -> None:
        self.root = root / "clone"
        self.calls = root / "calls"
        self.bin = root / "bin"
        self.bin.mkdir()
        for name in ("python3.11", "chromium"):
            (self.bin / name).write_text(STAND_IN)
            (self.bin / name).chmod(0o755)
        for name in ("scripts", ".ci"):
            shutil.copytree(ROOT / name, self.root / name)
        for name in ("requirements.lock", "torch.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)

    def run(
        self, script: str, *arguments: str, **env: str
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        """Run a script from elsewhere; returns it and the calls made meanwhile."""
        self.calls.write_text("")
        done = subprocess.run(
            [self.root / script, *arguments],
            cwd="/",
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", "CALLS": str(self.calls), "FAIL": "", **env},
            capture_output=True,
            text=True,
            check=False,
        )
        return done, [line for line in self.calls.read_text().splitlines() if " -c " not in line]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if " pip install " in call]


def test_setup_installs_from_the_lock_once_and_again_when_it_changed(clone: Clone) -> None:
    done, calls = clone.run("scripts/setup")
    assert done.returncode == 0, done.stderr
    assert calls[1] == "python3.11 -m venv .venv"
    torch, rest, own = installs(calls)
    assert torch.endswith("--no-deps -r torch.lock"), "first, for it has no hashes"
    assert rest.endswith("--require-hashes --no-deps -r requirements.lock")
    assert own.endswith("--no-deps --no-build-isolation --editable .")
    assert "setup: done" in done.stdout

    done, calls = clone.run("scripts/setup")
    assert (done.returncode, done.stdout, calls) == (0, "", [])

    with (clone.root / "requirements.lock").open("a") as lock:
        lock.write("another==1.0\n")
    done, calls = clone.run("scripts/setup")
    assert len(installs(calls)) == 3
    assert not any("venv" in call for call in calls), "the environment itself is kept"


def test_an_installation_that_failed_is_not_taken_for_done(clone: Clone) -> None:
    done, _ = clone.run("scripts/setup", FAIL="requirements.lock")
    assert done.returncode != 0
    assert "pip could not install requirements.lock" in done.stderr
    done, calls = clone.run("scripts/setup")
    assert done.returncode == 0
    assert len(installs(calls)) == 3


def test_set_up_counts_each_package_once_and_keeps_what_pip_says_in_its_log(
    clone: Clone, tmp_path: Path
) -> None:
    total = sum("==" in line for line in (clone.root / "requirements.lock").read_text().splitlines())
    says = tmp_path / "says"
    lines = [f"from -r requirements.lock (line {number}))" for number in range(3, total + 3)]
    says.write_text("".join(f"Collecting a==1 ({line}\nProcessing /a.whl ({line}\n" for line in lines))
    done, _ = clone.run("scripts/setup", PIP_SAYS=str(says))
    assert done.returncode == 0
    counted = [line for line in done.stdout.splitlines() if " of " in line]
    assert [int(line.split()[1]) for line in counted] == list(range(30, total + 1, 30))
    assert "WARNING" not in done.stdout + done.stderr
    log = (clone.root / ".venv" / "llmtrace-setup.log").read_text()
    assert "WARNING: an index is away" in log
    assert log.count("Collecting") == total


def test_a_python_that_is_too_old_is_refused_with_a_remedy(clone: Clone) -> None:
    done, _ = clone.run("scripts/setup", LLMTRACE_PYTHON="/bin/false")
    assert done.returncode == 1
    assert done.stderr == "setup: LLMTRACE_PYTHON=/bin/false is not a Python 3.11 or newer\n"


def test_setup_makes_the_frameworks_environments_once_and_anew_when_a_lock_changed(clone: Clone) -> None:
    locks = clone.root / "tests" / "venvs"
    locks.mkdir(parents=True)
    for name in ("one", "two"):
        (locks / f"{name}.lock").write_text(f"{name}==1.0\n")
    clone.run("scripts/setup")

    done, calls = clone.run("scripts/setup", "--frameworks")
    assert done.returncode == 0, done.stderr
    assert sorted(call for call in calls if "-m venv" in call) == [
        "python -m venv .venvs/one",
        "python -m venv .venvs/two",
    ]
    assert sorted(call.split()[-1] for call in installs(calls)) == [
        "tests/venvs/one.lock",
        "tests/venvs/two.lock",
    ]

    done, calls = clone.run("scripts/setup", "--frameworks")
    assert (done.returncode, done.stdout, calls) == (0, "", [])

    (locks / "two.lock").write_text("two==2.0\n")
    done, calls = clone.run("scripts/setup", "--frameworks", FAIL="two.lock")
    assert done.returncode == 1
    assert "pip could not install tests/venvs/two.lock" in done.stderr
    done, calls = clone.run("scripts/setup", "--frameworks")
    assert len(installs(calls)) == 1, "what failed is not taken for done, and the other is left alone"

    uv = clone.root / ".venv" / "bin" / "uv"
    uv.write_text(STAND_IN)
    uv.chmod(0o755)
    (locks / "two.lock").write_text("two==3.0\n")
    done, calls = clone.run("scripts/setup", "--frameworks", FAIL="pip install")
    assert [call.split()[:2] for call in calls[:2]] == [["uv", "venv"], ["uv", "pip"]]
    assert "python -m venv .venvs/two" in calls, "where uv fails, pip has a try"


def test_an_unknown_option_is_refused(clone: Clone) -> None:
    done, calls = clone.run("scripts/setup", "--brwser")
    assert done.returncode == 1
    assert "unknown option '--brwser'" in done.stderr
    assert calls == []


def test_check_runs_everything_and_names_what_failed(clone: Clone) -> None:
    done, calls = clone.run("scripts/check", FAIL="mypy")
    assert done.returncode == 1
    assert [call for call in calls if not call.startswith("python")] == [
        "ruff check .", "ruff format --check .", "mypy ", "lint-imports ",
    ]  # fmt: skip
    assert done.stderr.splitlines()[-1] == "check: FAILED: mypy"

    done, _ = clone.run("scripts/check")
    assert done.returncode == 0
    assert done.stdout.endswith("check: all passed\n")


def test_test_checks_first_then_hands_options_to_pytest(clone: Clone) -> None:
    done, calls = clone.run("scripts/test", "tests/sdk", "-x")
    assert done.returncode == 0, done.stderr
    assert (
        calls[-1] == "python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/sdk -x"
    )
    assert "lint-imports " in calls

    done, calls = clone.run("scripts/test", FAIL="ruff check")
    assert done.returncode == 1, "a failed check fails the whole"
    assert calls[-1] == "python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder", (
        "and hides no test"
    )

    done, calls = clone.run(".ci/run", FAIL="-m pytest")
    assert done.returncode == 7
    assert calls[-1] == "python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder"


def test_test_knows_what_to_run_in_a_hurry_and_what_at_night(clone: Clone) -> None:
    run = "python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder"
    done, calls = clone.run("scripts/test", "--quick", "tests/sdk")
    assert done.returncode == 0, done.stderr
    assert calls[-1] == f"{run} -m not long and not slow tests/sdk"
    assert "lint-imports " in calls
    _, calls = clone.run("scripts/test", "--all")
    assert calls[-1] == f"{run} -m  --cov --cov-report=term:skip-covered"
    _, calls = clone.run("scripts/test", "--random", "-x")
    assert calls[-1] == f"{run} -m hypothesis --hypothesis-profile=random --timeout=3600 -x"
    done, calls = clone.run("scripts/test", "--help")
    assert "scripts/test --quick" in done.stdout
    assert calls == []


def test_demo_hands_its_options_to_the_command_line(clone: Clone) -> None:
    done, calls = clone.run("scripts/demo", "--once", "--calls", "3")
    assert done.returncode == 0, done.stderr
    assert calls[-1] == "llmtrace demo --once --calls 3"
    done, _ = clone.run("scripts/demo", "--once", FAIL="llmtrace demo")
    assert done.returncode == 7


REGISTRY = """#!/bin/bash
echo "docker $*" >> "$CALLS"
[[ -n "$FAIL" && "$*" == *"$FAIL"* ]] && { echo "no such image" >&2; exit 1; }
printf 'sha256:%064d\n' "${DIGEST:-1}"
"""


@pytest.fixture
def stack(clone: Clone) -> Clone:
    """A clone with the compose file, its example environment and a registry that knows every image."""
    shutil.copy(ROOT / "docker-compose.yml", clone.root)
    shutil.copy(ROOT / "docker" / "env.example", clone.root / ".env")
    (clone.bin / "docker").write_text(REGISTRY)
    (clone.bin / "docker").chmod(0o755)
    return clone


def digests(stack: Clone) -> list[str]:
    lines = (stack.root / ".env").read_text().splitlines()
    return sorted(line for line in lines if "_DIGEST=" in line)


def test_every_image_of_the_stack_gets_its_digest_and_keeps_it(stack: Clone) -> None:
    done, calls = stack.run("scripts/pin-images")
    assert done.returncode == 0, done.stderr
    assert len(calls) == 3
    first = f"sha256:{1:064d}"
    expected = [f"{name}_DIGEST={first}" for name in ("CLICKHOUSE", "PROMETHEUS", "PYTHON")]
    assert digests(stack) == expected

    done, _ = stack.run("scripts/pin-images", DIGEST="2")
    assert "has moved from" in done.stdout
    assert digests(stack) == expected, "what was chosen once changes only when it is asked to"
    done, _ = stack.run("scripts/pin-images", "--check", DIGEST="2")
    assert (done.returncode, digests(stack)) == (1, expected)
    done, _ = stack.run("scripts/pin-images", "--check")
    assert (done.returncode, done.stdout) == (0, "")
    done, _ = stack.run("scripts/pin-images", "--update", DIGEST="2")
    assert digests(stack) == [line.replace(first, f"sha256:{2:064d}") for line in expected]


def test_a_registry_that_does_not_answer_leaves_the_digests_as_they_are(stack: Clone) -> None:
    done, _ = stack.run("scripts/pin-images", FAIL="clickhouse")
    assert done.returncode == 1
    assert "does not tell the digest of clickhouse/clickhouse-server" in done.stderr
    assert digests(stack) == ["CLICKHOUSE_DIGEST=", "PROMETHEUS_DIGEST=", "PYTHON_DIGEST="]
    (stack.root / ".env").unlink()
    done, _ = stack.run("scripts/pin-images")
    assert done.returncode == 1
    assert "cp docker/env.example .env" in done.stderr


def test_the_requirements_of_a_part_are_its_own_and_come_with_hashes(clone: Clone) -> None:
    done, _ = clone.run("scripts/requirements", "collector")
    collector = done.stdout
    assert "\nchdb==" in collector
    assert "\nstreamlit==" not in collector
    assert "\npytest==" not in collector
    assert collector.count("--hash=sha256:") >= collector.count("==")
    done, _ = clone.run("scripts/requirements", "sdk", "dashboard")
    assert "\nstreamlit==" in done.stdout
    assert "\nchdb==" not in done.stdout
    done, _ = clone.run("scripts/requirements", "--pins")
    assert "--hash" not in done.stdout
    assert {"torch==2.13.0"} < set(done.stdout.split())
    done, _ = clone.run("scripts/requirements", "colector")
    assert done.returncode == 2
    assert "there is no part 'colector'" in done.stderr
