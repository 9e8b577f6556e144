"""Hostile clients against running servers, bounded and on loopback: `python -m tests.hostile`.

A case attacks for some seconds; meanwhile an honest sender loses nothing, `/health/live` answers in time, and
the process stays within its memory.
"""
