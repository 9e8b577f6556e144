"""Turn pip's installation report into requirements.lock. scripts/lock runs it:

python scripts/lock.py pins REPORT           exact pins of all but torch
python scripts/lock.py lock REPORT HASHED    the lock file, from the same pins with their hashes
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement

#: What is installed apart from the rest, each for its image or for development (docker/Dockerfile).
PARTS = ("sdk", "collector", "grpc", "analysis", "dashboard", "inference", "mlflow", "all", "build", "dev")

HEADER = """\
# Exact versions of all in llmtrace[all] and the dev group but torch, each with the hashes of its files.
# Made by scripts/lock from pyproject.toml: change that file, then run scripts/lock again.
# scripts/setup installs all of it; scripts/requirements prints what one part needs.
"""


def main() -> None:
    """Print what was asked for."""
    kind, report = sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    packages = {_name(item["metadata"]["name"]): item["metadata"] for item in report["install"]}
    packages.pop("llmtrace", None)
    _refuse_cuda(packages)
    if kind == "pins":
        # A local version ("+cpu") names one build and is found on few indexes.
        pins = (f"{name}=={metadata['version'].split('+')[0]}" for name, metadata in packages.items())
        print("\n".join(sorted(pin for pin in pins if not pin.startswith("torch=="))))
        return
    parts = _parts(packages)
    blocks = _blocks(Path(sys.argv[3]).read_text(encoding="utf-8"))
    missing = sorted(set(packages) - {"torch"} - set(blocks))
    if missing:
        sys.exit(f"lock: the index has no hashes of {', '.join(missing)}")
    print(HEADER, end="")
    for name in sorted(blocks):
        needed = [part for part in PARTS if name in parts[part]]
        print(f"# for: {' '.join(needed)}\n{blocks[name]}")


def _refuse_cuda(packages: Iterable[str]) -> None:
    unwanted = [n for n in packages if n != "nvidia-ml-py" and re.match(r"(nvidia|cuda|triton)(-|$)", n)]
    if unwanted:
        sys.exit(
            "lock: torch resolved to its CUDA build, which brings " + ", ".join(sorted(unwanted)) + ".\n"
            "Let pip find the CPU wheel: set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels."
        )


def _blocks(hashed: str) -> dict[str, str]:
    """Each package's lines: its pin and the hashes that belong to it."""
    blocks: dict[str, list[str]] = {}
    name = ""
    for line in hashed.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            name = _name(line.partition("==")[0])
        if name and line.strip() and not line.startswith("#"):
            blocks.setdefault(name, []).append(line)
    return {name: "\n".join(lines) for name, lines in blocks.items()}


def _parts(packages: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    """What each part needs, by following the requirements of what it asks for itself."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    base = project["project"]["dependencies"]
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    groups: dict[str, list[Any]] = project["dependency-groups"]

    def asked(part: str) -> list[str]:
        if part == "sdk":
            return []
        if part == "mlflow":  # its server is one of what only `all` brings
            return [text for text in extras["all"] if Requirement(text).name == "mlflow"]
        if part in extras:
            return _flat(extras[part], extras)
        return [text for text in groups[part] if isinstance(text, str)]

    tools = ("build", "dev")
    return {
        part: _closure(asked(part) if part in tools else [*base, *asked(part)], packages) for part in PARTS
    }


def _flat(requirements: list[str], extras: dict[str, list[str]]) -> list[str]:
    flat = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.name == "llmtrace":
            for extra in requirement.extras:
                flat += _flat(extras[extra], extras)
        else:
            flat.append(text)
    return flat


def _closure(requirements: list[str], packages: dict[str, dict[str, Any]]) -> set[str]:
    needed: set[str] = set()
    done: set[tuple[str, frozenset[str]]] = set()
    pending = [(Requirement(text), "") for text in requirements]
    while pending:
        requirement, extra = pending.pop()
        environment = {**default_environment(), "extra": extra}
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        name = _name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in done or name not in packages:
            continue
        done.add(key)
        needed.add(name)
        for text in packages[name].get("requires_dist", []):
            pending += [(Requirement(text), wanted) for wanted in ("", *requirement.extras)]
    return needed


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).strip().lower()


if __name__ == "__main__":
    main()
