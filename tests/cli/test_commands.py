"""The command line itself: help everywhere, light to start, plain words when something is missing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from llmtrace_cli.main import cli
from llmtrace_inference.settings import InferenceSettings
from tests.cli.running import run


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_explains_every_option_and_shows_examples(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"], prog_name="llmtrace")
    assert result.exit_code == 0
    assert "Examples:\n" in result.output
    assert f"  llmtrace {' '.join(path)}".rstrip() in result.output.partition("Examples:")[2]

    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path}: {parameter.name} says nothing"


def test_help_imports_click_and_nothing_heavy() -> None:
    """The base install has no more than this, and a shell completion should not wait for pydantic."""
    script = (
        "import sys\n"
        "from llmtrace_cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "heavy = {'pydantic', 'fastapi', 'torch', 'streamlit', 'mlflow', 'chdb', 'rich', 'honcho'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: []\n")


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        ("collector", "pydantic_settings", "collector"),
        ("collector", "chdb", "collector"),
        ("watch", "scipy", "analysis"),
        ("cost report", "pandas", "analysis"),
        ("dashboard", "streamlit", "dashboard"),
        ("inference", "torch", "inference"),
        ("mlflow", "mlflow", "all"),
        ("up", "honcho", "all"),
        ("config show", "tomlkit", "all"),
    ],
)
def test_a_missing_extra_is_answered_with_the_pip_command(
    command: str, module: str, extra: str, tmp_path: Path
) -> None:
    script = (
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {module!r}:\n"
        f"            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from llmtrace_cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: this needs the Python package '{module}', which is not installed. "
        f"Install it with: pip install 'llmtrace[{extra}]'\n"
    )


def test_config_init_writes_once_and_show_reads_it(tmp_path: Path) -> None:
    first = run("config", "init", cwd=tmp_path)
    assert (first.returncode, first.stdout) == (
        0,
        "wrote llmtrace.toml; remove the # before a setting to change it\n",
    )
    again = run("config", "init", cwd=tmp_path)
    assert again.returncode == 1
    assert "llmtrace.toml exists; --force writes over it" in again.stderr

    result = run("config", "show", cwd=tmp_path, LLMTRACE_COLLECTOR__INGEST_KEY="sesame")
    assert result.returncode == 0
    assert "port = 4318" in result.stdout
    assert "sesame" not in result.stdout


def test_settings_that_cannot_be_used_stop_every_part_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "llmtrace.toml").write_text("[collector]\nprot = 1\n")
    for part in ("collector", "watch", "up"):
        refused = run(part, cwd=tmp_path)
        assert refused.returncode == 1
        assert refused.stderr == (
            "Error: unknown setting [collector] prot (from llmtrace.toml): did you mean [collector] port?\n"
        )


def test_an_open_door_without_keys_is_refused_with_a_sentence(tmp_path: Path) -> None:
    refused = run("collector", "--host", "0.0.0.0", cwd=tmp_path)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "LLMTRACE_COLLECTOR__INGEST_KEY" in refused.stderr


def test_options_of_inference_reach_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[InferenceSettings] = []
    monkeypatch.setattr("llmtrace_inference.app.serve", served.append)
    monkeypatch.chdir(tmp_path)

    def start(*options: str) -> Result:
        return CliRunner().invoke(cli, ["inference", *options], prog_name="llmtrace")

    assert start("--device", "cpu", "--max-kv-gb", "0.5", "--port", "8123").exit_code == 0
    assert start().exit_code == 0
    assert [(s.device, s.max_kv_gb, s.port) for s in served] == [("cpu", 0.5, 8123), ("auto", None, 8000)]
    for bad in (("--device", "tpu"), ("--max-kv-gb", "0"), ("--max-kv-gb", "much")):
        refused = start(*bad)
        assert refused.exit_code == 2
        assert bad[0] in refused.output
    assert len(served) == 2
