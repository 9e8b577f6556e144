"""Lines of texts: what is sent, how, and what has to happen.

One JSON object a line. Only `text` is needed; the others say more:

    kind           what the line is filed under; `others` by default
    expect         `refused` (a status of 4xx), `answered` (200) or `any`, the default
    params         query parameters by name: `{"p": "x"}` is sent as `param_p=x`
    url, headers   further URL parameters and headers
    via            how the text is sent: body (default), address, both, form, external table, gzip, native,
                   utf-16, root
    repeat         name → [text, times]: what stands for `{R}`, `{S}` in the text
    engine_lets    the engine alone does not stop it: it is for the endpoint to refuse
    same           the line is about this: no answer may change when another project's rows do
    slow           it may take as long as a read may

`{own}` and `{other}` in any value are the reader's project and the other one, `{mark}` what every marked text
of the other project starts with, `{file}` a marked file, `{out}` a file that may not come to be. A line with
`{guess}` is sent twice, with `{mark}` and with a word that nobody has: nothing may differ.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "texts"


@dataclass(frozen=True)
class Line:
    """One text; see the module."""

    text: str
    kind: str = "others"
    expect: str = "any"
    params: Mapping[str, str] = field(default_factory=dict)
    url: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    via: str = "body"
    engine_lets: bool = False
    same: bool = False
    slow: bool = False

    @property
    def asks_twice(self) -> bool:
        """Whether the line is sent with a guess that is right and with one that is wrong."""
        return "{guess}" in self.text

    def filled(self, values: Mapping[str, str]) -> Line:
        """The line with its placeholders replaced."""

        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace(f"{{{name}}}", value)
            return text

        def fill_all(texts: Mapping[str, str]) -> dict[str, str]:
            return {name: fill(text) for name, text in texts.items()}

        return Line(
            fill(self.text),
            self.kind,
            self.expect,
            fill_all(self.params),
            fill_all(self.url),
            fill_all(self.headers),
            self.via,
            self.engine_lets,
            self.same,
            self.slow,
        )


def own_lines() -> Iterator[Line]:
    """The texts of this folder, kind by kind."""
    for path in sorted(FOLDER.glob("*.jsonl")):
        yield from lines_of(path)


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a file. Raises ValueError, naming the line, when one is none."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for number, text in enumerate(data.decode().split("\n"), 1):
        if not text.strip():
            continue
        try:
            yield _line(json.loads(text))
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def _line(values: Mapping[str, Any]) -> Line:
    known = dict(values)
    for name, (part, times) in known.pop("repeat", {}).items():
        known["text"] = known["text"].replace(f"{{{name}}}", part * times)
    if known.get("expect", "any") not in ("any", "refused", "answered"):
        raise ValueError(f"expect is {known['expect']!r}")
    return Line(**known)


def thinned(lines: Iterable[Line], every: int) -> list[Line]:
    """Every n-th line of each kind, the first of each included."""
    counts: dict[str, int] = {}
    chosen = []
    for line in lines:
        count = counts[line.kind] = counts.get(line.kind, -1) + 1
        if count % every == 0:
            chosen.append(line)
    return chosen
