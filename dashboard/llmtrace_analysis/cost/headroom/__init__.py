"""Headroom: what calls use of what their providers allow, and when that will be all.

Read by `llmtrace cost limits`, the Cost page and the rules `headroom.*`; it imports queries and model names.
"""
