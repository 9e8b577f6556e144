"""Recorded traffic of real providers through the SDK and the collector: `python -m tests.recordings`.

Each answer is held against what it states itself (its total of tokens, its bill) and against the public price
list's own reading of it. Tests import it, and nothing else does.
"""
