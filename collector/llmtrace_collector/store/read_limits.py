"""What one read may cost, behind the query guard. Times in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping

from .access_control import EVERY_PROJECT, OWNER

#: Of our own reads, and of readers of every project.
READ_LIMITS: Mapping[str, str] = {
    "max_execution_time": "30",
    "max_memory_usage": str(2 << 30),
    "max_result_bytes": str(256 << 20),
    "max_result_rows": "5000000",
    "result_overflow_mode": "throw",
    "max_threads": "2",
    "max_temporary_data_on_disk_size_for_query": str(4 << 30),
}

#: What a reader of one project has less of: other people's keys must not take the collector's memory.
_OF_A_PROJECT: Mapping[str, str] = {
    "max_memory_usage": str(128 << 20),
    "max_result_bytes": str(64 << 20),
    "max_result_rows": "1000000",
    "max_temporary_data_on_disk_size_for_query": str(1 << 30),
}


def is_confined(scope: str) -> bool:
    """Whether a scope (see access_control.py) is that of a reader of one project."""
    return scope not in (OWNER, EVERY_PROJECT)


def limits_of(scope: str) -> Mapping[str, str]:
    """The settings that bound a read of this scope, by name."""
    return {**READ_LIMITS, **_OF_A_PROJECT} if is_confined(scope) else READ_LIMITS
