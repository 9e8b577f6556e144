"""A text's tree, and a tree's text."""

from __future__ import annotations

import logging
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.parsers.clickhouse import ClickHouseParser
from sqlglot.tokenizer_core import TokenType

from .refusal import QueryRefused

# The parser warns in its own words about text that we refuse in ours.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

#: Functions with a syntax of their own; all others keep the name and the arguments that they came with.
_OWN_SYNTAX = frozenset("CAST EXTRACT TRIM SUBSTRING POSITION ARRAYJOIN AND OR XOR COLUMNS TUPLE".split())


class Parser(ClickHouseParser):
    """The parser of ClickHouse's dialect, without its translations of functions."""

    FUNCTIONS: ClassVar = {}
    FUNC_TOKENS: ClassVar = {*ClickHouseParser.FUNC_TOKENS, TokenType.DATABASE}
    FUNCTION_PARSERS: ClassVar = {
        name: parse for name, parse in ClickHouseParser.FUNCTION_PARSERS.items() if name in _OWN_SYNTAX
    }


class Dialect(ClickHouse):
    """ClickHouse's, as it is read and written here."""

    Parser = Parser


_DIALECT = Dialect()


def parse(text: str) -> exp.Query:
    """The tree of the one SELECT in `text`. Raises QueryRefused with the parser's first sentence."""
    try:
        trees = [tree for tree in _DIALECT.parse(text) if tree is not None]
    except SqlglotError as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise QueryRefused(f"this is no SELECT that can be read here: {detail}") from error
    if len(trees) != 1:
        raise QueryRefused("exactly one statement is allowed")
    if not isinstance(trees[0], exp.Query):
        raise QueryRefused("only SELECT is allowed; writes go through the collector's endpoints")
    return trees[0]


def write(tree: exp.Expr) -> str:
    """The tree as SQL of the engine, every name in quotes. Raises QueryRefused where there is none for it."""
    try:
        return _DIALECT.generate(tree, identify=True, comments=False, unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise QueryRefused(f"this cannot be read here: {str(error).splitlines()[0]}") from error
