"""Why a text may not be run."""

from __future__ import annotations


class QueryRefused(Exception):
    """The text may not be run; the message says what in it."""


class ReadDenied(QueryRefused):
    """The text names a table, a function or a setting that no reader may use."""


class TooSlow(QueryRefused):
    """The text took longer to parse than a text may, this time."""
