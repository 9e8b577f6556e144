"""Detectors that are advanced one time step after the other, many series side by side, each from its past
alone.

Rules, the benchmark and `llmtrace detect` import it; of ours it imports `detectors` alone.
"""
