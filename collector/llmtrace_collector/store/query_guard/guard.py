"""A text made safe."""

from __future__ import annotations

from llmtrace_collector.store.clients.client_settings import ClientRefused
from llmtrace_collector.store.clients.statements import translate

from .bounds import check_nesting
from .constants import replace_constants
from .lexing import joined, tokens_of
from .parsing import parse, write
from .refusal import QueryRefused
from .rules import check_nodes
from .safe_query import DEFAULT_MAX_BYTES, SafeQuery, check_format, check_size
from .tables import check_tables
from .tail import cut
from .time_zones import check_time_zones
from .written import check_written


def make_safe(text: str, max_bytes: int = DEFAULT_MAX_BYTES) -> SafeQuery:
    """The SELECT in `text`, regenerated. Raises QueryRefused with the reason, whatever the text."""
    try:
        return _made_safe(text, max_bytes)
    except QueryRefused:
        raise
    except (RecursionError, MemoryError) as error:
        raise QueryRefused("the query is nested too deeply to be read") from error
    except Exception as error:  # the parser is not ours: what it stumbles over is the text's fault
        raise QueryRefused(f"the query cannot be read ({type(error).__name__})") from error


def _made_safe(text: str, max_bytes: int) -> SafeQuery:
    check_size(text, max_bytes)
    tokens, fmt, settings = cut(tokens_of(text))
    if fmt is not None:
        check_format(fmt)
    check_nesting(tokens)
    try:
        select = translate(joined(tokens))
    except ClientRefused as error:
        raise QueryRefused(str(error)) from error
    if not select:
        return SafeQuery("", fmt, settings)
    tree = parse(select)
    replace_constants(tree)
    tables, stand_ins = check_tables(tree)
    check_nodes(tree, stand_ins)
    check_time_zones(tree)
    sql = write(tree)
    functions = check_written(sql)
    return SafeQuery(sql, fmt, settings, tables, functions, stand_ins)
