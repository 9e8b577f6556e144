"""Which part may import which: the contracts of import-linter in pyproject.toml hold, and each can break."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("sdk", "collector", "inference", "dashboard", "cli")
LINTER: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


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
    assert f"Contracts: {len(LINTER['contracts'])} kept, 0 broken." in done.stdout


#: A file that is added, what it imports, and the contract that must say no.
BREACHES = [
    ("sdk/llmtrace/api/extra.py", "llmtrace_collector.settings", "who may import what of the collector"),
    ("sdk/llmtrace/api/extra.py", "llmtrace_analysis.cost.report", "who may import what of the analysis"),
    (
        "sdk/llmtrace/api/extra.py",
        "openai",
        "the SDK imports no provider library, and nothing that only services need",
    ),
    ("sdk/llmtrace/wire/extra.py", "json", "layers of the wire formats"),
    ("sdk/llmtrace/spans/extra.py", "llmtrace.delivery.queue", "layers of the SDK"),
    ("collector/llmtrace_collector/extra.py", "json", "layers of the collector"),
    (
        "collector/llmtrace_collector/pricing/extra.py",
        "llmtrace_collector.api.keys",
        "layers of the collector",
    ),
    (
        "collector/llmtrace_collector/accounting/extra.py",
        "llmtrace_collector.access.auth",
        "layers of the collector",
    ),
    (
        "collector/llmtrace_collector/mlflow/extra.py",
        "llmtrace_collector.store.store",
        "MLflow's part reads the store through its reader alone",
    ),
    (
        "collector/llmtrace_collector/api/extra.py",
        "llmtrace.capture.llm_span",
        "who may import what of the SDK",
    ),
    (
        "collector/llmtrace_collector/api/extra.py",
        "llmtrace_dashboard.settings",
        "who may import what of the dashboard",
    ),
    (
        "inference/llmtrace_inference/protocol/extra.py",
        "llmtrace_inference.engine.interface",
        "layers of the inference service",
    ),
    (
        "inference/llmtrace_inference/api/extra.py",
        "llmtrace_collector.store.reader",
        "who may import what of the collector",
    ),
    ("inference/llmtrace_inference/api/extra.py", "llmtrace.wire.registry", "who may import what of the SDK"),
    (
        "dashboard/llmtrace_analysis/alerts/extra.py",
        "llmtrace_analysis.detect.rules",
        "layers of the analysis",
    ),
    (
        "dashboard/llmtrace_analysis/cost/extra.py",
        "llmtrace_collector.store.engine",
        "who may import what of the collector",
    ),
    ("dashboard/llmtrace_analysis/cost/extra.py", "streamlit", "the analysis needs no Streamlit"),
    (
        "dashboard/llmtrace_analysis/detect/extra.py",
        "llmtrace_analysis.settings",
        "rules take their own parameters, not the settings of the whole watch",
    ),
    ("dashboard/llmtrace_dashboard/ui/extra.py", "llmtrace_dashboard.views.trace", "layers of the dashboard"),
    (
        "dashboard/llmtrace_dashboard/views/extra.py",
        "llmtrace_collector.store.store",
        "who may import what of the collector",
    ),
    (
        "dashboard/llmtrace_dashboard/views/extra.py",
        "llmtrace_analysis.watch.service",
        "who may import what of the analysis",
    ),
    ("dashboard/llmtrace_dashboard/views/extra.py", "llmtrace_cli.extras", "nobody imports the command line"),
    ("cli/llmtrace_cli/config/extra.py", "llmtrace_cli.stack.up", "layers of the command line"),
    ("cli/llmtrace_cli/cost/extra.py", "llmtrace_collector.settings", "who may import what of the collector"),
    (
        "cli/llmtrace_cli/cost/extra.py",
        "llmtrace_inference.app",
        "who may import what of the inference service",
    ),
]


@pytest.fixture(scope="module")
def breaches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a copy in which every breach was committed, and a circle besides: broken contract → what it says."""
    root = tmp_path_factory.mktemp("breaches")
    shutil.copy(ROOT / "pyproject.toml", root)
    for part in PARTS:
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file, imported, _ in BREACHES:
        with (root / file).open("a") as extra:
            extra.write(f"import {imported}\n")
    spans = root / "sdk" / "llmtrace" / "spans"
    (spans / "circle_a.py").write_text("from . import circle_b\n")
    (spans / "circle_b.py").write_text("from . import circle_a\n")
    done = lint(root)
    assert done.returncode == 1, done.stdout
    sections = re.split(r"^(.+)\n-+\n", done.stdout.partition("Broken contracts")[2], flags=re.MULTILINE)
    return dict(zip(sections[1::2], sections[2::2], strict=True))


@pytest.mark.parametrize(("file", "imported", "contract"), BREACHES)
def test_a_breach_is_noticed(breaches: dict[str, str], file: str, imported: str, contract: str) -> None:
    importer = ".".join(Path(file).with_suffix("").parts[1:])
    if imported == "json":  # the file itself is the breach: a new one in a place that has no layer
        assert importer in breaches[contract]
    else:
        assert f"{importer} -> {imported} (l." in breaches[contract]


def test_a_circle_is_noticed(breaches: dict[str, str]) -> None:
    assert "circle_a" in breaches["no circles between files or folders"]


def test_every_folder_says_what_it_is_for_and_who_may_import_it() -> None:
    for part in PARTS:
        for folder in sorted({file.parent for file in (ROOT / part).rglob("*.py")} - {ROOT / part}):
            text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
            assert text, f"{folder.relative_to(ROOT)}/__init__.py has no docstring"
            assert "import" in text, f"{folder.relative_to(ROOT)}/__init__.py does not say who may import it"


def test_no_folder_of_pages_lies_beside_the_script_that_streamlit_runs() -> None:
    """Streamlit takes such a folder for its own, and shows its pages without frame and filters."""
    from llmtrace_dashboard.server.app import SCRIPT
    from llmtrace_dashboard.ui.page_links import PAGES

    assert SCRIPT.is_file()
    assert not (SCRIPT.parent / "pages").exists()
    assert {page.parent.name for page in PAGES.values()} == {"pages"}
    assert all(page.is_file() for page in PAGES.values())


def test_relative_imports_stay_within_their_folder() -> None:
    """`from ..` would hide which layer is reached for; ruff says the same of each file."""
    for part in PARTS:
        for file in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert node.level < 2, f"{file.relative_to(ROOT)}:{node.lineno}"
