"""SHOW, DESCRIBE, EXISTS, USE and SET as clients send them, each as the SELECT that answers it.

A SELECT made here goes through the query guard as any other: nothing in this module is trusted.
"""

# ruff: noqa: S608 - SELECTs of names that the tokenizer let through; the guard judges them again

from __future__ import annotations

import re
from types import MappingProxyType

from llmtrace_collector.store.catalogue import READABLE
from llmtrace_collector.store.database import DATABASE

from .client_settings import ClientRefused, judge

#: Databases by which clients may name ours: `default` is what most of them ask for by themselves.
DATABASES = frozenset({"default", DATABASE})

#: Functions that tell of the server or the user, by lower-case name, and the literal that stands for each.
#: `revision()` decides how clickhouse-go reads the format Native: 0 is the layout without block headers.
CONSTANTS = MappingProxyType(
    {
        "displayname": "'llmtrace'",
        "currentuser": "'llmtrace'",
        "user": "'llmtrace'",
        "currentdatabase": f"'{DATABASE}'",
        "database": f"'{DATABASE}'",
        "revision": "toUInt32(0)",
    }
)

#: The first words of the statements that are answered here.
_VERBS = frozenset({"SHOW", "DESC", "DESCRIBE", "EXISTS", "USE", "SET"})

_LONGEST = 2000

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:"
    r"(?P<string>'(?:[^'\\]|\\.|'')*')"
    r"|`(?P<back>[\w.$ -]+)`"
    r'|"(?P<double>[\w.$ -]+)"'
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<sign>[.=,*;()])"
    r")",
    re.ASCII,
)


def translate(text: str) -> str:
    """The SELECT that answers `text`, a client's statement without comments, FORMAT and SETTINGS; "" when it
    needs no answer; `text` itself when it is none of these statements. Raises ClientRefused.
    """
    verb = re.match(r"\s*([A-Za-z]+)\b", text, re.ASCII)
    if verb is None or verb[1].upper() not in _VERBS:
        return text
    if len(text) > _LONGEST:
        raise ClientRefused(f"a {verb[1].upper()} is not longer than {_LONGEST} characters")
    statement = _Statement(text)
    select = _select(statement)
    statement.end()
    return select


class _Statement:
    """A statement's tokens, from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        text = text.rstrip(" \t\r\n;")
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise ClientRefused(
                    f"this statement cannot be read from {text[position : position + 40]!r} on"
                )
            kind = match.lastgroup
            self._tokens.append(("name" if kind in ("back", "double") else kind, match[kind]))
            position = match.end()

    def take(self, *words: str) -> str:
        """The next token, when it is one of these words (upper case) or signs; else ""."""
        if self._tokens:
            kind, value = self._tokens[0]
            if kind in ("word", "sign") and value.upper() in words:
                self._tokens.pop(0)
                return value.upper()
        return ""

    def of(self, *kinds: str) -> str:
        """The next token, which has to be one of these kinds. Raises ClientRefused."""
        if not self._tokens or self._tokens[0][0] not in kinds:
            raise ClientRefused("this statement ends too soon, or has something where a name belongs")
        return self._tokens.pop(0)[1]

    def table(self, database: str = DATABASE) -> tuple[str, str]:
        """Database and name of a table, `name` or `database.name`."""
        name = self.of("word", "name")
        if self.take("."):
            return name, self.of("word", "name")
        return database, name

    def condition(self) -> str:
        """`LIKE 'x'` and its kin as a condition on `name`, after AND; "" when there is none."""
        negated = "NOT " if self.take("NOT") else ""
        operator = self.take("LIKE", "ILIKE")
        if not operator:
            if negated:
                raise ClientRefused("NOT stands before LIKE or ILIKE")
            return ""
        return f" AND name {negated}{operator} {self.of('string')}"

    def limit(self) -> str:
        """`LIMIT 10`, or ""."""
        return f" LIMIT {self.of('number')}" if self.take("LIMIT") else ""

    def end(self) -> None:
        """Raises ClientRefused when more follows."""
        if self._tokens:
            raise ClientRefused(f"{self._tokens[0][1][:40]!r} is not understood in this statement")


def _select(statement: _Statement) -> str:
    verb = statement.take(*_VERBS)
    if verb == "SHOW":
        return _show(statement)
    if verb in ("DESC", "DESCRIBE"):
        statement.take("TABLE")
        return _describe(*_readable(statement.table()))
    if verb == "EXISTS":
        return _exists(statement)
    if verb == "USE":
        statement.take("DATABASE")
        name = statement.of("word", "name")
        if name not in DATABASES:
            raise ClientRefused(f"there is no database {name[:80]!r} here, but {DATABASE!r}")
        return ""
    _set(statement)
    return ""


def _show(statement: _Statement) -> str:
    if statement.take("DATABASES"):
        where = f"1{statement.condition()}"
        return f"SELECT name FROM system.databases WHERE {where} ORDER BY name{statement.limit()}"
    if statement.take("CREATE"):
        return _create(statement)
    statement.take("EXTENDED")
    full = bool(statement.take("FULL"))
    if statement.take("TABLES"):
        database = statement.of("word", "name") if statement.take("FROM", "IN") else DATABASE
        kind = ", if(engine = 'View', 'VIEW', 'BASE TABLE') AS table_type" if full else ""
        where = f"database = {_quoted(_own(database))}{statement.condition()}"
        return f"SELECT name{kind} FROM system.tables WHERE {where} ORDER BY name{statement.limit()}"
    if statement.take("COLUMNS", "FIELDS") and statement.take("FROM", "IN"):
        database, name = statement.table()
        if statement.take("FROM", "IN"):
            database = statement.of("word", "name")
        where = f"{_of_table(*_readable((database, name)))}{statement.condition()}"
        null = "if(startsWith(type, 'Nullable('), 'YES', 'NO')"
        return (
            f"SELECT name AS field, type, {null} AS null, '' AS key, NULL AS default, '' AS extra "
            f"FROM system.columns WHERE {where} ORDER BY position{statement.limit()}"
        )
    raise ClientRefused(
        "of SHOW there are DATABASES, TABLES, COLUMNS and CREATE TABLE here; what else there is, SELECT tells"
    )


def _create(statement: _Statement) -> str:
    if statement.take("DATABASE"):
        name = statement.of("word", "name")
        if name not in DATABASES:
            raise ClientRefused(f"there is no database {name[:80]!r} here, but {DATABASE!r}")
        return f"SELECT 'CREATE DATABASE {DATABASE} ENGINE = Atomic' AS statement"
    statement.take("TABLE", "VIEW")
    database, name = _readable(statement.table())
    # Columns are all that readers need: a view's text would name tables that they may not read.
    columns = "arrayStringConcat(groupArray(concat('`', name, '` ', type)), ', ')"
    return (
        f"SELECT concat('CREATE TABLE {database}.{name} (', {columns}, ') ENGINE = MergeTree') AS statement "
        f"FROM (SELECT name, type FROM system.columns WHERE {_of_table(database, name)} ORDER BY position)"
    )


def _describe(database: str, name: str) -> str:
    return (
        "SELECT name, type, default_kind AS default_type, default_expression, comment, "
        "'' AS codec_expression, '' AS ttl_expression FROM system.columns "
        f"WHERE {_of_table(database, name)} ORDER BY position"
    )


def _exists(statement: _Statement) -> str:
    if statement.take("DATABASE"):
        name = _quoted(_own(statement.of("word", "name")))
        return f"SELECT toUInt8(count()) AS result FROM system.databases WHERE name = {name}"
    statement.take("TEMPORARY")
    statement.take("TABLE", "VIEW", "DICTIONARY")
    database, name = statement.table()
    where = f"database = {_quoted(_own(database))} AND name = {_quoted(name)}"
    return f"SELECT toUInt8(count()) AS result FROM system.tables WHERE {where}"


def _set(statement: _Statement) -> None:
    while True:
        name = statement.of("word")
        if not statement.take("="):
            raise ClientRefused("SET needs a setting and its value")
        value = statement.of("string", "number", "word")
        judge(name, value.strip("'"))
        if not statement.take(","):
            return


def _readable(table: tuple[str, str]) -> tuple[str, str]:
    """The same table in our database. Raises ClientRefused when it may not be read."""
    database, name = table
    if database not in DATABASES or name not in READABLE:
        raise ClientRefused(
            f"table {name[:80]!r} cannot be read here; there are {', '.join(sorted(READABLE))}"
        )
    return DATABASE, name


def _of_table(database: str, name: str) -> str:
    return f"database = {_quoted(database)} AND table = {_quoted(name)}"


def _own(database: str) -> str:
    return DATABASE if database in DATABASES else database


def _quoted(name: str) -> str:
    """A name, of letters, digits and `_.$ -` alone, as a literal."""
    return f"'{name}'"
