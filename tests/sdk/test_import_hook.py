"""Modules are heard of when they are imported, before or after, and are otherwise as they were."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from llmtrace.capture.hooks.import_hook import when_imported


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ModuleType]]:
    """Listens to a module that is there, one that can be imported, one that breaks, one that is nowhere."""
    names = ("sample_there", "sample_later", "sample_broken", "sample_nowhere")
    (tmp_path / "sample_there.py").write_text("")
    (tmp_path / "sample_later.py").write_text("VALUE = 5\n")
    (tmp_path / "sample_broken.py").write_text("raise RuntimeError('broken')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("sample_there")
    modules: list[ModuleType] = []
    finders = list(sys.meta_path)
    when_imported(names, modules.append)
    yield modules
    sys.meta_path[:] = finders
    for name in names:
        sys.modules.pop(name, None)


def test_what_is_there_is_told_at_once_and_the_rest_when_it_comes(heard: list[ModuleType]) -> None:
    assert [module.__name__ for module in heard] == ["sample_there"]
    later = importlib.import_module("sample_later")
    assert heard[1:] == [later]
    assert later.VALUE == 5
    assert importlib.reload(later) is later
    assert heard[1:] == [later]


def test_looking_for_a_module_is_not_importing_it(heard: list[ModuleType]) -> None:
    spec = importlib.util.find_spec("sample_later")
    assert spec is not None
    assert spec.origin is not None
    assert "sample_later" not in sys.modules
    assert len(heard) == 1
    importlib.import_module("sample_later")
    assert len(heard) == 2


def test_imports_fail_as_they_would(heard: list[ModuleType]) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        importlib.import_module("sample_broken")
    with pytest.raises(ModuleNotFoundError, match="sample_nowhere"):
        importlib.import_module("sample_nowhere")
    assert len(heard) == 1


def test_importing_and_starting_leaves_out_what_is_slow_to_import() -> None:
    code = "import sys, llmtrace; llmtrace.init(); print(*sys.modules)"
    environ = {**os.environ, "LLMTRACE_SPOOL_DIR": "off"}  # what is left there would be sent at once
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ
    ).stdout.split()
    assert "llmtrace.api.lifecycle" in loaded
    assert not {"asyncio", "ssl", "requests", "httpx", "httpx2", "google.protobuf"} & set(loaded)
