"""Which part may import which: the contracts of import-linter in pyproject.toml hold, and can break."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("sdk", "collector", "inference", "dashboard", "cli")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages under `root`."""
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(str(root / part) for part in PARTS)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert f"Contracts: {len(contracts)} kept, 0 broken." in done.stdout


@pytest.mark.parametrize(
    ("file", "forbidden"),
    [
        ("sdk/llmtrace/extra.py", "llmtrace_collector"),
        ("sdk/llmtrace/extra.py", "openai"),
        ("collector/llmtrace_collector/extra.py", "llmtrace_dashboard"),
        ("inference/llmtrace_inference/extra.py", "llmtrace_collector"),
        ("dashboard/llmtrace_dashboard/extra.py", "llmtrace_collector.app"),
    ],
)
def test_a_forbidden_import_is_noticed(file: str, forbidden: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / file).write_text(f"import {forbidden}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"{Path(file).parts[1]}.extra -> {forbidden}" in done.stdout
