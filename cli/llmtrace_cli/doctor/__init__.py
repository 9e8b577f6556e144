"""`llmtrace doctor`: what is wrong, and how to mend it.

The root command imports it; it imports config.
"""
