"""Texts to measure the checks of texts on, from files in the forms that public sets have."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class LabelledText(NamedTuple):
    """A text, and whether it is an attack."""

    text: str
    is_attack: bool
    set: str
    """Name of its file, without what follows the dot."""
    family: str = ""
    technique: str = ""
    language: str = "English"


def _own(record: Any, name: str) -> LabelledText:
    family, language = str(record.get("family", "")), str(record.get("language", "English"))
    return LabelledText(record["text"], bool(record["label"]), name, family, "", language)


def _injection(record: Any, name: str) -> LabelledText:
    family = f"{record['injection_type']}_injection"
    technique, language = record["injection_variant"], record["speaking_language"]
    return LabelledText(record["user_input"], True, name, family, technique, language)


def _refusal(record: Any, name: str) -> LabelledText:
    return LabelledText(
        record["mutated_prompt"], False, name, language=record.get("speaking_language", "English")
    )


def _hijack(record: Any, name: str) -> LabelledText:
    return LabelledText(record["attack"], True, name, "direct_injection")


def _question(record: Any, name: str) -> LabelledText:
    return LabelledText(record["question"], False, name, language="Chinese")


def _safe(record: Any, name: str) -> LabelledText | None:
    return LabelledText(record["prompt"], False, name) if record["label"] == "safe" else None


def _benign(record: Any, name: str) -> LabelledText | None:
    return None if record.get("label") else LabelledText(record["prompt"], False, name)


#: Fields that tell a form → how a record of it is read: our own; those of CyberSecEval;
#: Tensor Trust; AlignBench; XSTest; NotInject and WildGuard.
_FORMS: tuple[tuple[set[str], Callable[[Any, str], LabelledText | None]], ...] = (
    ({"text", "label"}, _own),
    ({"user_input", "injection_type"}, _injection),
    ({"mutated_prompt"}, _refusal),
    ({"attack", "access_code"}, _hijack),
    ({"question", "category"}, _question),
    ({"prompt", "label", "focus"}, _safe),
    ({"prompt"}, _benign),
)


def read(paths: list[Path]) -> list[LabelledText]:
    """All texts of files, and of the files in folders. ValueError for a file in no known form."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [text for file in files for text in _read(file) if text.text.strip()]


def _read(file: Path) -> Iterator[LabelledText]:
    for record in _records(file):
        reader = next((reader for fields, reader in _FORMS if fields <= record.keys()), None)
        if reader is None:
            raise ValueError(f"{file}: no known form: {', '.join(sorted(record))}")
        text = reader(record, file.stem)
        if text is not None:
            yield text


def _records(file: Path) -> list[dict[str, Any]]:
    content = file.read_text(encoding="utf-8")
    if file.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(content)))
    if content.lstrip().startswith("["):
        return list(json.loads(content))
    return [json.loads(line) for line in content.split("\n") if line.strip()]
