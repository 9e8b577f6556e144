"""Whether the store still holds what was stored in it: counts by day, broken parts, and their repair.

Accounting, the collector's endpoints and erasure import it; it imports the store.
"""
