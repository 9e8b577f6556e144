"""A frozen dataclass as the rows of a table: columns, reads, inserts and reports follow from its fields.

A field is annotated with its `Column`, and with pydantic's limits for what a report may hold. Columns are
named like the fields, in CamelCase. A time is Unix seconds here, DateTime64(3) in the store, ISO 8601 sent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, Field, create_model


def _within_store(time: datetime) -> datetime:
    if not 2002 <= time.year < 2262:
        raise ValueError("the year should be from 2002 to 2261")
    return time


Moment = Annotated[datetime, AfterValidator(_within_store)]
"""A time of a report, as the store's columns can hold it."""

_Model = TypeVar("_Model", bound=BaseModel)
_Mark = TypeVar("_Mark")


@dataclass(frozen=True)
class Column:
    """How a field is stored and reported."""

    type: str
    """Of ClickHouse."""
    reported: bool = True
    """Whether a report says it; the rest is the collector's to know."""
    report_type: Any = None
    """The field's type in a report, where that is another."""

    @property
    def is_time(self) -> bool:
        """Whether it holds a moment."""
        return "DateTime64" in self.type


class Record:
    """A row of a table, decoded by name. Subclasses are frozen dataclasses whose fields have a `Column`."""

    columns: ClassVar[Mapping[str, Column]]
    """Field → column, in order."""
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.columns = marks_of(cls, Column)

    @classmethod
    def ddl(cls) -> dict[str, str]:
        """Column → ClickHouse type, as the table has to have them."""
        return {column_name(name): column.type for name, column in cls.columns.items()}

    @classmethod
    def select_list(cls) -> str:
        """What to SELECT for `from_row`: every column under its field's name, times in milliseconds."""
        return ",\n    ".join(
            f"toUnixTimestamp64Milli({column_name(name)}) AS {name}"
            if column.is_time
            else f"{column_name(name)} AS {name}"
            for name, column in cls.columns.items()
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """A row of `select_list`, field → value. Raises KeyError when a field is missing."""
        return cls(**{name: _decoded(column, row[name]) for name, column in cls.columns.items()})

    def to_row(self) -> dict[str, Any]:
        """Column → value, for an insert as JSONEachRow."""
        row = {}
        for name, column in self.columns.items():
            value = getattr(self, name)
            # A DateTime64(3) is read from seconds as text.
            is_moment = column.is_time and value is not None
            row[column_name(name)] = f"{value:.3f}" if is_moment else _plain(value)
        return row

    @classmethod
    def report_model(cls, name: str, base: type[_Model]) -> type[_Model]:
        """The pydantic model of a report: `base`'s fields and those that are reported, with their limits."""
        hints = get_type_hints(cls, include_extras=True)
        reported: dict[str, Any] = {}
        for field in fields(cls):
            column = cls.columns[field.name]
            if column.reported:
                kind, *marks = get_args(hints[field.name])
                default = ... if field.default is MISSING else field.default
                if field.default_factory is not MISSING:
                    default = Field(default_factory=field.default_factory)
                reported[field.name] = (Annotated[column.report_type or kind, *marks], default)
        return create_model(name, __base__=base, __doc__=base.__doc__, **reported)

    @classmethod
    def from_report(cls, report: BaseModel, **others: Any) -> Self:
        """What a report says, and in `others` what it does not say."""
        reported = {
            name: _reported(getattr(report, name)) for name, column in cls.columns.items() if column.reported
        }
        return cls(**reported, **others)

    def to_report(self) -> dict[str, Any]:
        """Field → JSON value of what is reported: the body that `report_model` reads."""
        return {name: self.json_value(name) for name, column in self.columns.items() if column.reported}

    def json_value(self, name: str) -> Any:
        """A field as JSON has it, times in ISO 8601."""
        value = getattr(self, name)
        is_moment = self.columns[name].is_time and value is not None
        return to_iso(value) if is_moment else _plain(value)


def marks_of(record: type, kind: type[_Mark]) -> dict[str, _Mark]:
    """Field → its annotation of this kind, in order, of the fields that have one."""
    hints = get_type_hints(record, include_extras=True)
    marks = {
        name: [mark for mark in get_args(hint) if isinstance(mark, kind)] for name, hint in hints.items()
    }
    return {name: of_kind[0] for name, of_kind in marks.items() if of_kind}


def column_name(field: str) -> str:
    """The store's column of a field: `opened_at` → `OpenedAt`."""
    return "".join(part.capitalize() for part in field.split("_"))


def to_iso(time: float) -> str:
    """Unix seconds as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _decoded(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.is_time:
        return value / 1000
    return tuple(value) if column.type.startswith("Array") else value


def _reported(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    # The store keeps milliseconds: a moment equals itself when it is read again.
    return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000) / 1000


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
