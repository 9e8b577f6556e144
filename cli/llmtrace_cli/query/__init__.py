"""Commands that ask the store, and what all of them share: the way to it, and the form of the answer.

The root command and `cost` import it; it imports config, llmtrace_analysis and the store's reader and search.
"""
