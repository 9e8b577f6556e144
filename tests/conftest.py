"""How all tests run: which examples hypothesis tries."""

from __future__ import annotations

from hypothesis import settings

# A change passes or fails by what it changed, so the gate tries the same examples each time. `scripts/test
# --random` looks further: what it sees fail becomes an `@example` beside the repair.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("random", derandomize=False, deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("fixed")
