"""Rollups that a task makes from the spans: closed hours of usage, steps and whole traces; and what
makes any rollup anew. The store imports it; the collector runs its passes.
"""
