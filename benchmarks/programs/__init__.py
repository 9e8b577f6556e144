"""Programs that a benchmark starts in processes of their own, by the interpreter and with the sources of the
checkout that is measured: each imports the collector's public parts alone, so that an older commit runs them
too. Nobody imports them.

Each ends when its standard input does, so that none outlives the benchmark.
"""
