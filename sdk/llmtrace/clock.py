"""The clocks that spans are timed by; `llmtrace.testing` puts its own here."""

from __future__ import annotations

import time
from collections.abc import Callable

time_ns: Callable[[], int] = time.time_ns
"""Nanoseconds since 1970."""
perf_counter: Callable[[], float] = time.perf_counter
"""Seconds since some moment; never goes back."""
