"""The parts that a call's cost is told in: every bucket is in one of them, so they add up to all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

PartName = Literal["input", "cache_read", "cache_write", "output", "reasoning", "media", "request", "stated"]


@dataclass(frozen=True)
class Part:
    """A part of the price as people see it."""

    label: str
    #: What stands beside it.
    note: str = ""
    #: The part in which reports have it, which tell fewer apart than charts do.
    within: PartName | None = None


#: In the order in which they are told.
PARTS: Mapping[PartName, Part] = MappingProxyType(
    {
        "input": Part("Input"),
        "cache_read": Part("Cached input"),
        "cache_write": Part("Cache writes"),
        "output": Part("Output"),
        "reasoning": Part("Reasoning", within="output"),
        "media": Part(
            "Audio and images",
            note="At prices of their own; their tokens are counted in input and output",
        ),
        "request": Part("Requests", note="Prices that are asked per call"),
        "stated": Part("As stated", note="What answers say that they cost; nobody says how it is made up"),
    }
)
