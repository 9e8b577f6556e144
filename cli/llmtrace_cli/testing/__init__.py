"""`llmtrace test`: tests made of what was recorded.

The root command imports it; it imports query, the analysis and `llmtrace.testing`.
"""
