"""The guard of reads: one SELECT over our tables, with functions that only compute.

What runs is the SQL regenerated from the parsed tree, never the received text, so that nothing the parser
did not understand reaches the engine. Limits of time, memory and size and a read-only handle stand behind.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from llmtrace_collector.attributes.fields import FIELDS

from .engine import DATABASE
from .schema.catalogue import BY_NAME, READABLE
from .schema.former import VERSIONS

# The parser warns in its own words about text that we refuse in ours.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

#: Formats that are a plain stream of the result.
FORMATS = frozenset(
    "Native RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes "
    "TabSeparated TabSeparatedRaw TabSeparatedWithNames TabSeparatedWithNamesAndTypes "
    "TSV TSVRaw TSVWithNames TSVWithNamesAndTypes CSV CSVWithNames CSVWithNamesAndTypes "
    "JSON JSONStrings JSONCompact JSONCompactStrings JSONEachRow JSONCompactEachRow "
    "JSONCompactEachRowWithNames JSONCompactEachRowWithNamesAndTypes JSONColumns "
    "Parquet Arrow ArrowStream Pretty PrettyCompact PrettySpace Vertical Markdown Values Null".split()
)

#: What clickhouse-connect asks before its first query; answered as it stands.
_PROBES = frozenset({"SELECT name, value, readonly FROM system.settings LIMIT 10000"})

_MAX_LENGTH = 100_000

#: Databases by which our tables may be named: where they were before they had one of their own, and that.
_DATABASES = ("default", DATABASE)

#: Table functions that only compute.
_TABLE_FUNCTIONS = frozenset({"numbers"})

#: Functions whose last argument names a type.
_TYPED_CALLS = frozenset({"accuratecast", "accuratecastornull", "jsonextract", "jsonextractkeysandvalues"})

#: Columns that are read under their plain names, so that the engine's indexes apply.
_ARRAY_COLUMNS = frozenset(
    {"SpanAttributes", "ResourceAttributes", "LogAttributes", *(field.name for field in FIELDS)}
)

_REFUSED_NODES: tuple[type[exp.Expr], ...] = (
    exp.Into,
    exp.Command,
    exp.DDL,
    exp.DML,
    exp.SessionParameter,
    exp.Parameter,
)

#: Words that may stand before a parenthesis without being a function.
_STRUCTURE = frozenset(
    "all and any array as asc between by case cross cube desc distinct else except exists filter following "
    "from global grouping having ilike in inner interpolate intersect interval is join left like limit not "
    "on or order outer over partition preceding prewhere qualify replace right rollup rows select sets "
    "step then to union using when where window with within".split()
)


class QueryRefused(Exception):
    """The text may not be run; the message says what in it."""


@dataclass(frozen=True)
class SafeQuery:
    """A SELECT that may run, and the format its text asked for, if any."""

    sql: str
    format: str | None


# Dashboards ask the same texts again and again with other parameters; to parse one takes longer than many
# a read.
@lru_cache(maxsize=512)
def make_safe(text: str, project: str = "") -> SafeQuery:
    """The SELECT in `text`, regenerated; with `project`, every table in it shows that project's rows alone.

    Raises QueryRefused with the reason.
    """
    if len(text) > _MAX_LENGTH:
        raise QueryRefused(f"the query is longer than {_MAX_LENGTH} characters")
    tree = _parse(text)
    wanted = tree.args.get("format")
    if wanted is not None:
        tree.set("format", None)
    fmt = None if wanted is None else check_format(wanted.name)
    sql = tree.sql(dialect="clickhouse", comments=False)
    if sql in _PROBES:
        return SafeQuery(sql, fmt)
    _check_tree(tree)
    if project:
        _confine(tree, project)
    sql = tree.sql(dialect="clickhouse", comments=False)
    _check_calls(sql)
    return SafeQuery(sql, fmt)


def check_format(name: str) -> str:
    """`name`, when it is a format that may be asked for. Raises QueryRefused."""
    if name not in FORMATS:
        raise QueryRefused(f"format {name[:40]!r} is not available here")
    return name


def _parse(text: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(text, read="clickhouse")
    except (SqlglotError, RecursionError) as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise QueryRefused(f"this is no SELECT that can be read here: {detail}") from error
    statements = [tree for tree in trees if tree is not None]
    if len(statements) != 1:
        raise QueryRefused("exactly one statement is allowed")
    if not isinstance(statements[0], exp.Query):
        raise QueryRefused("only SELECT is allowed; writes go through the collector's endpoints")
    return statements[0]


def _check_tree(tree: exp.Expr) -> None:
    common = {cte.alias for cte in tree.find_all(exp.CTE)}
    hidden = common & {*BY_NAME, VERSIONS}
    if hidden:
        raise QueryRefused(f"a WITH name may not be that of a table: {sorted(hidden)[0]}")
    for node in list(tree.walk()):
        if isinstance(node, _REFUSED_NODES):
            raise QueryRefused(f"{node.key.upper()} is not allowed in a read")
        if isinstance(node, exp.Query) and node is not tree and node.args.get("format"):
            raise QueryRefused("FORMAT is allowed at the end of the query only")
        if node.args.get("settings"):
            raise QueryRefused("SETTINGS are not allowed in a read")
        if isinstance(node, exp.In) and isinstance(node.args.get("field"), exp.Column):
            raise QueryRefused("IN needs a list or a SELECT, not a table's name")
        if isinstance(node, exp.Placeholder) and "identifier" in str(node.args.get("kind")).lower():
            raise QueryRefused("a parameter gives a value, not a name")
        # States are the engine's memory written out; only those that it made itself are safe to read.
        if isinstance(node, exp.Literal) and node.is_string and "aggregatefunction(" in node.name.lower():
            raise QueryRefused("nothing can be turned into an aggregate's state here")
        if isinstance(node, exp.Table):
            _check_table(node)
        if isinstance(node, exp.Column) and node.db in _DATABASES:
            node.set("db", None)
        if isinstance(node, exp.Func):
            _keep_types_readable(node)
            _keep_names_columns(node)


def _check_table(table: exp.Table) -> None:
    if isinstance(table.this, exp.Func):
        name = table.this.sql(dialect="clickhouse").partition("(")[0].strip('`"').lower()
        if name not in _TABLE_FUNCTIONS:
            raise QueryRefused(f"table function {name[:80]!r} is not allowed in a read")
        return
    database = table.args.get("db")
    if not isinstance(table.this, exp.Identifier) or table.args.get("catalog"):
        raise QueryRefused(f"table {table.sql()[:80]} cannot be read here")
    if database is not None:
        if not isinstance(database, exp.Identifier) or database.name not in _DATABASES:
            raise QueryRefused(f"table {table.sql()[:80]} cannot be read here")
        table.set("db", None)
    elif table.name in _visible_names(table):
        return
    if table.name not in READABLE:
        known = ", ".join(sorted(READABLE))
        raise QueryRefused(f"table {table.name[:80]!r} cannot be read here; there are {known}")


def _confine(tree: exp.Expr, project: str) -> None:
    """Put a SELECT of the project's rows in the place of every table of ours, in place."""
    for table in list(tree.find_all(exp.Table)):
        if isinstance(table.this, exp.Func) or table.name in _visible_names(table):
            continue
        odd = [key for key, value in table.args.items() if value and key not in ("this", "alias", "joins")]
        if odd:
            raise QueryRefused(f"{odd[0].upper()} of a table cannot be read with a project's key")
        place: exp.Expr = table
        rows = f"SELECT * FROM {table.name}"  # noqa: S608 - one of ours
        if isinstance(table.parent, exp.Final):
            place = table.parent
            rows += " FINAL"
        condition = READABLE[table.name]
        quoted = exp.Literal.string(project).sql(dialect="clickhouse")
        select = sqlglot.parse_one(
            f"{rows} WHERE {condition.replace('{project}', quoted)}", read="clickhouse"
        )
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name))
        joins = table.args.get("joins")
        place.replace(exp.Subquery(this=select, alias=alias.copy(), joins=joins))
    # PREWHERE is for tables; over a SELECT it is a WHERE.
    for select in list(tree.find_all(exp.Select)):
        early = select.args.get("prewhere")
        if early is not None:
            select.set("prewhere", None)
            select.where(early.this, copy=False)


def _visible_names(table: exp.Table) -> set[str]:
    """WITH names that the engine resolves at this place; any other name would be a table's."""
    names: set[str] = set()
    node: exp.Expr = table
    while node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.With):
            # Inside a WITH, those before; itself only when it is recursive.
            for cte in parent.expressions:
                if cte is node and not parent.args.get("recursive"):
                    break
                names.add(cte.alias)
                if cte is node:
                    break
            node = parent.parent or parent
            continue
        own = parent.args.get("with_")
        if own is not None and own is not node:
            names.update(cte.alias for cte in own.expressions)
        node = parent
    return names


def _keep_types_readable(call: exp.Func) -> None:
    """A type that is put together while the query runs cannot be judged before it."""
    name = call.name if isinstance(call, exp.Anonymous) else call.sql_name()
    if name.lower().replace("_", "") not in _TYPED_CALLS:
        return
    last = list(call.iter_expressions())[-1:]
    if not (last and isinstance(last[0], exp.Literal) and last[0].is_string):
        raise QueryRefused(f"{name} needs its type as a plain string")


def _keep_names_columns(call: exp.Func) -> None:
    """The engine takes a bare name given to arrayMap and its like for a function's when no column has it;
    inside `identity` it can only be a column's.
    """
    arguments = [argument for argument in call.iter_expressions() if _bare_column(argument) is not None]
    if not arguments:
        return
    if not call.sql(dialect="clickhouse").strip('`"').lower().startswith(("array", "map")):
        return
    for argument in arguments:
        column = _bare_column(argument)
        if column is not None and column.name not in _ARRAY_COLUMNS:
            column.replace(exp.Anonymous(this="identity", expressions=[column.copy()]))


def _bare_column(node: exp.Expr) -> exp.Column | None:
    while isinstance(node, exp.Paren | exp.Alias):
        node = node.this
    return node if isinstance(node, exp.Column) and not node.table else None


def _check_calls(sql: str) -> None:
    allowed = _allowed_calls()
    for name in _called(sql):
        if name.lower() not in allowed:
            raise QueryRefused(f"function {name[:80]!r} is not allowed in a read")


def _called(sql: str) -> Iterator[str]:
    """Every name before a parenthesis in regenerated SQL, quoted or not."""
    tokens = ClickHouse.Tokenizer().tokenize(sql)
    for token, following in pairwise(tokens):
        if following.token_type is not TokenType.L_PAREN:
            continue
        quoted = token.token_type is TokenType.IDENTIFIER
        if quoted or (
            re.fullmatch(r"\w+", token.text)
            and token.token_type not in (TokenType.NUMBER, TokenType.STRING)
            and token.text.lower() not in _STRUCTURE
        ):
            yield token.text


@cache
def _allowed_calls() -> frozenset[str]:
    """Lower-case names of functions.txt, and aggregates with the combinators that readers use."""
    names: set[str] = set()
    for line in (resources.files(__package__) / "functions.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, _, words = line.partition(":")
        for word in words.lower().split():
            names.add(word)
            if kind == "aggregates":
                names.update(
                    word + suffix
                    for suffix in (
                        "if",
                        "ornull",
                        "ordefault",
                        "merge",
                        "mergeif",
                        "array",
                        "distinct",
                        "map",
                    )
                )
    return frozenset(names)
