"""The table in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from llmtrace_collector.attributes.counts import COUNTS

from .endpoint import PRICES, Endpoint
from .measured import Measured

BEGIN: Final = "<!-- Made by `python -m tests.endpoints --page docs/sdk.md`. -->"
END: Final = "<!-- End of the endpoints. -->"

_WORDS: Final = {count.name: count.price.label for count in COUNTS if count.price is not None}


def write_table(page: Path, text: str) -> None:
    """Replace the table in the page. Raises ValueError where the page has no place for it."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the table, which is between {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def table(endpoints: Sequence[Endpoint], measured: Mapping[tuple[str, bool], Measured]) -> str:
    """A line for each endpoint and provider."""
    lines = ["| endpoints | provider | span | usage | price | |", "|---|---|---|---|---|---|"]
    for endpoint in endpoints:
        lines.append(f"| {endpoint.family} | {endpoint.provider} | {_cells(endpoint, measured)} |")
    return "\n".join(lines) + "\n"


def _cells(endpoint: Endpoint, measured: Mapping[tuple[str, bool], Measured]) -> str:
    if endpoint.send is None:
        return f"not covered | | | {endpoint.remark}"
    # What cannot be run here was as the row says, where it was run.
    whole = measured.get(
        (endpoint.name, False), Measured(endpoint.spans, dict(endpoint.usage), endpoint.price)
    )
    spans = ", ".join(f"`{span}`" for span in sorted(set(whole.spans)))
    usage = ", ".join(_WORDS.get(name, name) for name in whole.usage) or "–"
    remarks = [
        *(["streamed too"] if endpoint.streams else []),
        *([endpoint.remark] if endpoint.remark else []),
    ]
    return f"{spans} | {usage} | {PRICES[whole.price]} | {'; '.join(remarks)}"
