"""What ALTER TABLE has to say to bring a table from what it is to what it should be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from llmtrace_collector.sql_values import literal

from .state import Column, State

#: Settings that hold for a table's whole life; making it anew for them is not worth it.
_FIXED = frozenset({"index_granularity"})


@dataclass(frozen=True)
class Alterations:
    """Commands of ALTER TABLE, in the order in which a table takes them.

    `early` ones leave everything that reads or fills the table working; `late` ones take away what views of
    before may still use. `added` are the columns that stored rows compute when they are read, until they are
    materialized.
    """

    early: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def alterations(
    live: State,
    desired: State,
    former_columns: Collection[str] = (),
    former_indexes: Collection[str] = (),
) -> Alterations:
    """How `live` becomes `desired`, whose keys are the same; each command is one statement.

    Columns of neither stay where they are.
    """
    late_names = _recreated(live, desired)
    columns, added = _columns(live, desired, late_names)
    early = [", ".join(items) for items in (columns + _indexes(live, desired),) if items]
    early += _removed_properties(live, desired)
    early += _table_properties(live, desired)
    return Alterations(
        early=tuple(early),
        late=tuple(_late(live, desired, late_names, former_columns, former_indexes)),
        added=tuple(added),
    )


def _recreated(live: State, desired: State) -> list[str]:
    """Columns that must go before they can be what they should: stored ones now computed, or the reverse, and
    stored ones that the engine computes, where it computed something else.
    """
    return [
        column.name
        for column in desired.columns
        if (old := live.column(column.name)) is not None
        and (old.stored != column.stored or _differs(old, column))
    ]


def _differs(old: Column, new: Column) -> bool:
    computed = "MATERIALIZED"
    return (
        new.default_kind == old.default_kind == computed and new.default_expression != old.default_expression
    )


def _columns(live: State, desired: State, late: Collection[str]) -> tuple[list[str], list[str]]:
    """Commands that add, change and move columns, and which were added with a default."""
    order = [column.name for column in live.columns if column.name not in late]
    commands, added = [], []
    previous = ""
    for column in desired.columns:
        if column.name in late:
            continue
        old = live.column(column.name)
        place = f"AFTER `{previous}`" if previous else "FIRST"
        if old is None:
            commands.append(f"ADD COLUMN IF NOT EXISTS {column.definition} {place}")
            _move(order, column.name, previous)
            if column.stored and column.default_expression:
                added.append(column.name)
        elif _follows(order, column.name, previous, desired):
            if replace(old, comment=column.comment) != column:
                commands.append(f"MODIFY COLUMN {column.definition}")
            elif old != column:
                # Of columns that ReplacingMergeTree goes by the engine lets nothing else be changed.
                commands.append(f"COMMENT COLUMN `{column.name}` {literal(column.comment)}")
        else:
            commands.append(f"MODIFY COLUMN {column.definition} {place}")
            _move(order, column.name, previous)
        previous = column.name
    return commands, added


def _follows(order: Sequence[str], name: str, previous: str, desired: State) -> bool:
    """Whether, of the columns that should be there, `name` comes next after `previous`."""
    ours = {column.name for column in desired.columns}
    before = [other for other in order[: order.index(name)] if other in ours]
    return (before[-1] if before else "") == previous


def _move(order: list[str], name: str, previous: str) -> None:
    if name in order:
        order.remove(name)
    order.insert(order.index(previous) + 1 if previous else 0, name)


def _removed_properties(live: State, desired: State) -> list[str]:
    """Properties that columns had and should not have: a definition without one leaves it as it was."""
    commands = []
    for column in desired.columns:
        old = live.column(column.name)
        if old is None or old.stored != column.stored:
            continue
        commands += [f"MODIFY COLUMN `{column.name}` REMOVE {word}" for word in _lost(old, column)]
    return [", ".join(commands)] if commands else []


def _lost(old: Column, new: Column) -> Iterable[str]:
    if old.default_kind and not new.default_kind:
        yield old.default_kind
    if old.comment and not new.comment:
        yield "COMMENT"
    if old.compression_codec and not new.compression_codec:
        yield "CODEC"


def _indexes(live: State, desired: State) -> list[str]:
    """Commands that add indexes and projections, and make anew those that should be others."""
    commands = []
    for kind, has, should in (
        ("INDEX", live.indexes, desired.indexes),
        ("PROJECTION", live.projections, desired.projections),
    ):
        known = {item.name: item for item in has}
        previous = ""
        for item in should:
            old = known.get(item.name)
            if old != item:
                if old is not None:
                    commands.append(f"DROP {kind} `{item.name}`")
                place = f"AFTER `{previous}`" if previous else "FIRST"
                commands.append(f"ADD {kind} {item.definition} {place}")
            previous = item.name
    return commands


def _table_properties(live: State, desired: State) -> list[str]:
    """Commands about the table as a whole; settings take a statement of their own."""
    commands = []
    if live.ttl != desired.ttl:
        commands.append(f"MODIFY TTL {desired.ttl}" if desired.ttl else "REMOVE TTL")
    changed = [
        f"{name} = {value}"
        for name, value in desired.settings.items()
        if name not in _FIXED and live.settings.get(name) != value
    ]
    if changed:
        commands.append(f"MODIFY SETTING {', '.join(changed)}")
    if live.comment != desired.comment:
        commands.append(f"MODIFY COMMENT {literal(desired.comment)}")
    return commands


def _late(
    live: State,
    desired: State,
    recreated: Sequence[str],
    former_columns: Collection[str],
    former_indexes: Collection[str],
) -> Iterable[str]:
    items = [f"DROP INDEX `{item.name}`" for item in live.indexes if item.name in former_indexes]
    gone = [
        column.name
        for column in live.columns
        if column.name in recreated or (column.name in former_columns and not desired.column(column.name))
    ]
    items += [f"DROP COLUMN IF EXISTS `{name}`" for name in gone]
    if items:
        yield ", ".join(items)
    names = [column.name for column in desired.columns]
    again = [
        f"ADD COLUMN IF NOT EXISTS {desired.columns[names.index(name)].definition} "
        + (f"AFTER `{names[names.index(name) - 1]}`" if names.index(name) else "FIRST")
        for name in recreated
    ]
    if again:
        yield ", ".join(again)
