"""What one column of spans is: its type, its meaning, and where each dialect keeps its value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .parts import PartName

#: What keys of OpenTelemetry's conventions and of ours begin with.
_CONVENTIONS = ("gen_ai.", "llmtrace.", "user.", "enduser.", "session.", "error.", "openai.", "anthropic.")


@dataclass(frozen=True)
class Unit:
    """What is counted and has a price: one of it, and how many a price is for, in words."""

    name: str
    #: How many units a price of people's is for, and what they call so many.
    per: float = 1.0
    priced: str = ""
    #: What the field of such a price ends with; without it the field begins with `per`.
    suffix: str = ""


#: By `Field.unit`.
UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "tokens": Unit("token", 1e6, "million tokens", "million"),
        "searches": Unit("search"),
        "containers": Unit("container"),
        "images": Unit("image"),
        "seconds": Unit("second", 3600, "hour", "hour"),
        "characters": Unit("character", 1e6, "million characters", "million"),
        "token-hours": Unit("token-hour", 1e6, "million token-hours", "million"),
    }
)


@dataclass(frozen=True)
class Price:
    """How a count is charged: in a bucket of its own, which has a price.

    What is charged for a count leaves out its parts (`part_of` of others names it), so that buckets add up to
    all of a call. Where the price book has no price for a bucket, that of what it is a part of holds.
    """

    bucket: str
    #: The part of a call's cost in which it is told.
    part: PartName
    #: The counts that this one is contained in, the nearest of each.
    part_of: tuple[str, ...] = ()
    #: The unit of the public price list (genai-prices) that is this bucket's.
    listed_as: str = ""
    #: The column of reports in which the count is added up; empty where another count there holds it.
    reported_as: str = ""
    #: A call may be billed by it and by nothing else: where it is known, so is the call's usage.
    alone: bool = False
    #: It never costs what a more general kind does: without a price of its own a call is priced in part.
    own: bool = False

    @property
    def label(self) -> str:
        """Its name in words: `cache write 1h`."""
        return words(self.bucket)

    def setting(self, unit: str) -> str:
        """The field in which people write the price of a `unit`: USD per million, per hour, or each."""
        name, suffix = self.label.replace(" ", "_"), UNITS[unit].suffix
        return f"{name}_per_{suffix}" if suffix else f"per_{name}"


@dataclass(frozen=True)
class Field:
    """One column of `otel_traces` that comes from attributes.

    A key is an attribute's name; `key>a>1>b` reaches into the JSON text that the attribute holds (indices
    from 1). The first key that carries a value wins; values are never added together.
    """

    name: str
    type: str
    #: The column's comment, and its line in docs/tables.md: a unit comes first.
    comment: str
    #: Keys of the conventions that llmtrace and OpenTelemetry write today; a span with no others is *plain*.
    keys: tuple[str, ...]
    #: Keys of other emitters and of former conventions: one of them makes a span *foreign*.
    dialects: tuple[str, ...] = ()
    #: The SQL function `llmtrace_<convert>` that makes the type of the text; without one it is the text.
    convert: str = ""
    #: Attributes that the function takes after the text: of the span, then of its resource.
    also: tuple[str, ...] = ()
    of_resource: tuple[str, ...] = ()
    unit: str = ""
    codec: str = "ZSTD(1)"
    #: Spans that call no model have nothing in it.
    of_calls: bool = False
    price: Price | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Every key, in the order in which they are tried."""
        return self.keys + self.dialects

    @property
    def conventional(self) -> tuple[str, ...]:
        """The keys of conventions, former ones too: what a stored span's attributes are asked for."""
        return tuple(key for key in self.sources if ">" not in key and key.startswith(_CONVENTIONS))

    @property
    def nothing(self) -> str:
        """SQL of what spans have that call no model."""
        if self.type.startswith("Nullable"):
            return "NULL"
        return "''" if "String" in self.type else "0"

    @property
    def is_number(self) -> bool:
        """Whether it is a number, which dialects may write as a double or as JSON of a protobuf value."""
        return self.convert in ("count", "count_or_0", "seconds", "weight")


@dataclass(frozen=True)
class Derived:
    """One column of `otel_traces` that is computed from the others.

    Its SQL is the function `llmtrace_<function>` of the columns (or other expressions of the view) `of`. In
    rows that were written before the column was there stands the same, or `default`: the engine goes through
    the defaults of a table whenever it reads any column of it, so they are short.
    """

    name: str
    type: str
    comment: str
    function: str
    of: tuple[str, ...]
    unit: str = ""
    codec: str = "ZSTD(1)"
    default: str = ""


def words(name: str) -> str:
    """A bucket's name in words: `CacheWrite1h` is `cache write 1h`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", name).lower()


def key_of(source: str) -> str:
    """The attribute that a source reads."""
    return source.split(">", 1)[0]


def alternatives(choices: Sequence[str]) -> str:
    """Two choices and more in words: `a, b or c`."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
