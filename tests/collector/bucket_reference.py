"""The table of buckets in docs/cost.md: `python -m tests.collector.bucket_reference` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmtrace_collector.pricing.charges import BUCKETS, Bucket

PAGE = Path(__file__).parents[2] / "docs" / "cost.md"

_HEAD = "| bucket | units | where it has no price of its own |\n|---|---|---|\n"

#: Count → the bucket in which it is charged, in words.
_COUNTS = {bucket.counts[0]: bucket.label for bucket in BUCKETS}

#: What is counted, where it is no tokens.
_NUMBERS = {
    "search": "number of searches",
    "container": "number of containers",
    "request": "number of calls whose tokens are known",
    "second": "number of seconds",
    "character": "number of characters",
    "image": "number of images",
    "token-hour": "tokens × hours",
}

_LABELS = {bucket.name: bucket.label for bucket in BUCKETS}


def table() -> str:
    """The table, with its head."""
    return _HEAD + "".join(f"| {' | '.join(_cells(bucket))} |\n" for bucket in BUCKETS)


def written(page: str) -> str:
    """The table that stands in the page."""
    _, head, rest = page.partition(_HEAD)
    return head + "".join(f"{line}\n" for line in _rows(rest))


def _rows(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("|"):
            return
        yield line


def _cells(bucket: Bucket) -> tuple[str, str, str]:
    whole, *again = (_COUNTS[name] for name in bucket.counts)
    units = [whole, *(f"− {_COUNTS[name]}" for name in bucket.less), *(f"+ {name}" for name in again)]
    otherwise = ", ".join(_LABELS[name] for name in bucket.otherwise)
    number = _NUMBERS.get(bucket.unit)
    return bucket.label, number or " ".join(units), otherwise or ("nothing" if number else "–")


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(written(text), table()), encoding="utf-8")
