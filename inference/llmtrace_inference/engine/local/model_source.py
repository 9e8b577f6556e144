"""Where models come from, told apart and checked without loading anything; nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_BUILTIN, _HUB = "builtin:", "hf:"
BUILTIN_MODELS = ("tiny-chat-s", "tiny-chat-m")


@dataclass(frozen=True, slots=True)
class Source:
    """A model's origin: a built-in one's name, a name on the hub, or a directory."""

    kind: Literal["builtin", "hub", "directory"]
    where: str


def parse_source(text: str) -> Source:
    """Read a value of the setting `models`. Raises RuntimeError with what to mend."""
    if text.startswith(_BUILTIN):
        name = text.removeprefix(_BUILTIN)
        if name not in BUILTIN_MODELS:
            known = " or ".join(_BUILTIN + model for model in BUILTIN_MODELS)
            raise RuntimeError(f"there is no built-in model {name!r}: use {known}")
        return Source("builtin", name)
    if text.startswith(_HUB):
        return Source("hub", text.removeprefix(_HUB))
    if not (Path(text) / "config.json").is_file():
        raise RuntimeError(
            f"there is no model at {text!r} (no config.json): give a directory with a transformers model, "
            f"'{_HUB}owner/name', or '{_BUILTIN}{BUILTIN_MODELS[0]}'"
        )
    return Source("directory", text)
