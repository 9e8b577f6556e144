"""What a tree may consist of; what nobody has thought of is refused."""

from __future__ import annotations

from collections.abc import Collection

from sqlglot import exp

from llmtrace_collector.attributes.fields import FIELDS

from .functions import AGGREGATES, CALLABLE
from .parsing import write
from .refusal import QueryRefused, ReadDenied
from .type_names import check_type

#: Every kind of node that a read may hold, by its class: clauses, names and values, operators, calls.
_NODES = frozenset(
    getattr(exp, name)
    for name in (
        "Select Union Except Intersect Subquery With CTE From Join Where PreWhere Group Having Qualify Order "
        "Ordered WithFill Limit LimitOptions Offset Fetch Distinct Final Table TableAlias TableSample Values "
        "Window WindowSpec Rollup Cube GroupingSets Filter IgnoreNulls RespectNulls "
        "Alias Aliases Identifier Column Columns Star Dot Literal HexString Boolean Null Var Placeholder "
        "Tuple Array Paren Struct VarMap PropertyEQ DataType DataTypeParam ColumnDef Interval "
        "Add Sub Mul Div IntDiv Mod Neg And Or Xor Not EQ NEQ NullSafeEQ NullSafeNEQ GT GTE LT LTE Is In "
        "Between Like ILike RegexpLike Exists Any All DPipe Bracket Case If Lambda Kwarg "
        "Anonymous AnonymousAggFunc ParameterizedAgg CombinedAggFunc CombinedParameterizedAgg Cast TryCast "
        "CastToStrType Extract Trim Substring StrPosition Explode"
    ).split()
)

#: Functions whose last argument names a type.
_TYPED_CALLS = frozenset("cast accuratecast accuratecastornull jsonextract jsonextractkeysandvalues".split())

#: Names that the engine takes for calls of functions where no column and no alias has them, even in quotes.
_NAMES_THAT_CALL = frozenset(
    "currentdatabase currenthandler currentuser currentrequesturl current_database current_date "
    "current_schema current_timestamp current_user curdate database fuzzquery getclienthttpheader localtime "
    "localtimestamp neighbor now regionhierarchy regionin regiontoarea regiontocity regiontocontinent "
    "regiontocountry regiontodistrict regiontoname regiontopopulation regiontotopcontinent "
    "runningaccumulate runningdifference runningdifferencestartingwithfirstvalue schema session_user sysdate "
    "today transactionlatestsnapshot transactionoldestsnapshot user".split()
)

#: First arguments of dateAdd and its like that are words.
_UNITS = frozenset(
    "nanosecond microsecond millisecond second minute hour day week month quarter year".split()
)

#: Columns that are read under their plain names, so that the engine's indexes apply.
_ARRAY_COLUMNS = frozenset(
    {"SpanAttributes", "ResourceAttributes", "LogAttributes", *(field.name for field in FIELDS)}
)


def check_nodes(tree: exp.Query, stand_ins: Collection[str]) -> None:
    """Raise QueryRefused for what a read may not hold. In place, names that could be functions' become
    columns'. Tables that stand for those of the engine have a column `database`.
    """
    aliases = {alias.alias for alias in tree.find_all(exp.Alias)} | ({"database"} if stand_ins else set())
    for node in list(tree.walk()):
        if type(node) not in _NODES:
            raise QueryRefused(f"{node.key.upper()} is not allowed in a read")
        if node.args.get("settings") or node.args.get("format"):
            raise QueryRefused("FORMAT and SETTINGS are allowed at the end of the query only")
        if isinstance(node, exp.In):
            _check_in(node)
        elif isinstance(node, exp.DataType):
            if not isinstance(node.parent, exp.DataType):
                check_type(write(node))
        elif isinstance(node, exp.ColumnDef):
            if not isinstance(node.parent, exp.DataType):
                raise QueryRefused("columns are not defined in a read")
        elif isinstance(node, exp.Placeholder):
            _check_placeholder(node)
        elif isinstance(node, exp.CastToStrType):
            _check_type_literal(node.args.get("to"), "CAST")
        elif isinstance(node, exp.Column):
            _check_column(node, aliases)
        elif isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg):
            _check_call(node)
    for name in tree.find_all(exp.Identifier):
        # The engine's own columns: parts, blocks and offsets count what is not the reader's.
        # `_` alone, as Metabase calls a column, is none of them.
        if name.name.startswith("_") and name.name != "_":
            raise ReadDenied(f"{name.name[:80]!r}: names do not begin with '_' in a read")
        name.set("quoted", True)


def _check_in(node: exp.In) -> None:
    """The engine takes a lone name on the right side of IN for a table's."""
    right = [node.args["field"]] if node.args.get("field") else node.expressions
    if len(right) == 1:
        only = right[0]
        while isinstance(only, exp.Paren | exp.Alias):
            only = only.this
        if isinstance(only, exp.Column | exp.Identifier | exp.Dot | exp.Star | exp.Var):
            raise QueryRefused(
                "IN needs a list or a SELECT, not a name: of a column `has(column, value)` asks"
            )


def _check_column(column: exp.Column, aliases: Collection[str]) -> None:
    """Bare words that are no names, and names that are functions."""
    name = column.this
    if not isinstance(name, exp.Identifier) or column.table:
        return
    if not name.quoted:
        word, above = name.name.lower(), column.parent
        if (
            word in ("inf", "nan")
            or (word == "all" and isinstance(above, exp.Ordered))
            or (word in _UNITS and isinstance(above, exp.Anonymous) and _takes_a_unit(above, column))
        ):
            column.replace(exp.var(name.name))
            return
    if name.name.lower() in _NAMES_THAT_CALL and name.name not in aliases:
        raise QueryRefused(f"{name.name!r} is no column here")


def _takes_a_unit(call: exp.Anonymous, column: exp.Column) -> bool:
    """Whether `column` is the first argument of dateAdd or one of its like."""
    return call.name.lower().startswith(("date", "timestamp")) and call.expressions[0] is column


def _check_placeholder(node: exp.Placeholder) -> None:
    kind = node.args.get("kind")
    if not isinstance(kind, exp.DataType):
        raise QueryRefused("a parameter gives a value of a type, not a name: {name:String}")


def _check_call(call: exp.Expr) -> None:
    name = call.name.lower()
    if name.startswith(("array", "map")):
        _keep_names_columns(call)
    if name in _TYPED_CALLS:
        # A type that is put together while the query runs cannot be judged before it.
        _check_type_literal(call.expressions[-1] if call.expressions else None, call.name)
    if name == "arrayreduce":
        first = call.expressions[0] if call.expressions else None
        if not (isinstance(first, exp.Literal) and first.is_string):
            raise QueryRefused(f"{call.name} needs its function as a plain string")
        aggregate = first.name.partition("(")[0].strip().lower()
        if aggregate not in CALLABLE or not any(aggregate.startswith(known) for known in AGGREGATES):
            raise ReadDenied(f"function {first.name[:80]!r} is not allowed in a read")


def _check_type_literal(node: object, call: str) -> None:
    if not (isinstance(node, exp.Literal) and node.is_string):
        raise QueryRefused(f"{call} needs its type as a plain string")
    check_type(node.name)


def _keep_names_columns(call: exp.Expr) -> None:
    """The engine takes a bare name given to arrayMap and its like for a function's when no column has it;
    inside `identity` it can only be a column's.
    """
    for argument in call.expressions:
        column = argument
        while isinstance(column, exp.Paren | exp.Alias):
            column = column.this
        if isinstance(column, exp.Column) and not column.table and column.name not in _ARRAY_COLUMNS:
            column.replace(exp.Anonymous(this="identity", expressions=[column.copy()]))
