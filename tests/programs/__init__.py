"""Shapes of programs that people run, played as real programs: what of their calls arrives, and as whose."""
