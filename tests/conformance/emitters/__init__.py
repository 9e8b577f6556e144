"""The rows of the conformance table: which real emitters run, in which environments."""

from __future__ import annotations

from . import databases, platforms, tracers

EMITTERS = (*tracers.EMITTERS, *platforms.EMITTERS, *databases.EMITTERS)

__all__ = ["EMITTERS"]
