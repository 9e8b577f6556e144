"""What `llmtrace watch` watches by the minute: which series there are, how they are read from the store, and
what the detectors of `detect/streaming` say of them.

The watch, the backtest and the benchmark import it.
"""
