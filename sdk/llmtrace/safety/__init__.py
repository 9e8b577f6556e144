"""Attacks in texts: exact patterns, and a classifier of sentences whose weights are in the package.

Any part of llmtrace may import it.
Nothing here is loaded before it is used: patterns need google-re2, the classifier numpy (`llmtrace[safety]`).
"""
