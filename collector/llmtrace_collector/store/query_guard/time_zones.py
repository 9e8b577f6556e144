"""Names of time zones, which the engine would also take for names of files.

It opens what follows `file:` in the name of a zone, and waits for it while every other zone waits: a pipe or
a terminal would stop the whole collector. It takes nothing but constants there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlglot import exp

from .functions import KINDS
from .refusal import ReadDenied

#: Functions whose last argument may be a zone, and those for which it may be the only one.
_TAKE_ONE = KINDS["time"] | KINDS["casts"]
_TAKE_IT_ALONE = frozenset("now now64 today yesterday timezone current_timestamp current_date".split())

#: How many arguments the others have with a zone, where not two.
_COUNTS = {
    **dict.fromkeys(("datediff", "date_diff", "age"), 4),
    **dict.fromkeys(("datetrunc", "date_trunc", "timestamp_trunc", "datename", "todatetime64"), 3),
    **dict.fromkeys(("formatdatetime", "parsedatetime", "tostartofinterval", "tumble"), 3),
    **dict.fromkeys(_TAKE_IT_ALONE, 1),
}

#: Functions that pass on what they are given.
_PASS_ON = (
    KINDS["conditional"] - {"not", "and", "or", "xor"}
    | frozenset("cast try_cast accuratecast accuratecastornull tostring tofixedstring".split())
    | frozenset("tonullable tolowcardinality identity materialize".split())
)

#: Functions that give no text.
_NO_TEXT = (
    (_TAKE_ONE | KINDS["arithmetic"] | KINDS["aggregates"] | KINDS["window"])
    - _PASS_ON
    - frozenset("formatdatetime datename monthname".split())
)

#: What a parameter may not bring in front of a zone's name.
_FILE = "^(file:)+"


def check_time_zones(tree: exp.Query) -> None:
    """Raise ReadDenied for a constant at the place of a time zone that may name a file; parameters lose that
    part of their values, in place.
    """
    named: dict[str, list[exp.Expr]] = {}
    for alias in tree.find_all(exp.Alias, exp.CTE):
        named.setdefault(alias.alias, []).append(alias.this)
    for call in list(tree.find_all(exp.Anonymous)):
        name, arguments = call.name.lower(), call.expressions
        if name in _TAKE_ONE and any(_is_untuple(argument) for argument in arguments):
            raise ReadDenied(f"{call.name} takes no untuple(…) here")
        if name in _TAKE_ONE and len(arguments) >= _COUNTS.get(name, 2):
            _check([arguments[-1]], named, set())


def _check(nodes: Iterable[exp.Expr], named: Mapping[str, list[exp.Expr]], seen: set[str]) -> None:
    for node in nodes:
        if isinstance(node, exp.Literal):
            if node.is_string and ("\\" in node.name or node.name.lower().startswith("file:")):
                raise ReadDenied(f"{node.name[:80]!r} is no time zone")
        elif isinstance(node, exp.Placeholder):
            _disarm(node)
        elif isinstance(node, exp.Column | exp.Identifier):
            if node.name in named and node.name not in seen:
                _check(named[node.name], named, seen | {node.name})
        elif isinstance(node, exp.Case | exp.If | exp.Paren | exp.Alias | exp.Cast | exp.CastToStrType):
            _check(_values(node), named, seen)
        elif isinstance(node, exp.Query):
            # The engine runs it first: what it brings is a constant, whatever it reads.
            if not all(_is_no_text_of_rows(value) for value in node.selects):
                raise ReadDenied("a SELECT at the place of a time zone gives a date: toDateTime((SELECT …))")
        elif isinstance(node, exp.Anonymous) and node.name.lower() in _PASS_ON:
            _check(node.expressions, named, seen)
        # What is made of rows is no constant.
        elif (
            not isinstance(node, exp.AggFunc | exp.Window)
            and not _gives_no_text(node)
            and _is_constant(node, named)
        ):
            raise ReadDenied("a time zone is a plain string here, or a parameter")


def _values(node: exp.Expr) -> Iterable[exp.Expr]:
    """What a node may pass on."""
    return (child for child in node.iter_expressions() if not isinstance(child, exp.DataType))


def _gives_no_text(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in _NO_TEXT
    return isinstance(
        node,
        exp.Null
        | exp.Boolean
        | exp.Interval
        | exp.Var
        | exp.Neg
        | exp.Extract
        | exp.StrPosition
        # `||` puts texts together.
        | exp.Predicate
        | exp.Connector
        | exp.Not,
    ) or (isinstance(node, exp.Binary) and not isinstance(node, exp.DPipe | exp.Dot))


def _is_untuple(node: exp.Expr) -> bool:
    node = node.unalias()
    return isinstance(node, exp.Anonymous) and node.name.lower() == "untuple"


def _is_no_text_of_rows(value: exp.Expr) -> bool:
    """Whether it is neither a text nor the largest, the first or another one of some rows."""
    value = value.unalias()
    name = value.name.lower() if isinstance(value, exp.Anonymous) else None
    return _gives_no_text(value) if name is None else name in _NO_TEXT - KINDS["aggregates"] - KINDS["window"]


def _is_constant(node: exp.Expr, named: Mapping[str, list[exp.Expr]]) -> bool:
    """Whether no column of a table is in it."""
    inner = node.walk(prune=lambda part: isinstance(part, exp.Query))
    return all(part.name in named for part in inner if isinstance(part, exp.Column))


def _disarm(parameter: exp.Placeholder) -> None:
    kind = parameter.args["kind"].sql(dialect="clickhouse").lower()
    if "string" in kind:
        arguments = [parameter.copy(), exp.Literal.string(_FILE), exp.Literal.string("")]
        parameter.replace(exp.Anonymous(this="replaceRegexpOne", expressions=arguments))
