"""`llmtrace cost`: reports, prices, plans and capacity on the command line.

The root command imports it; it imports config, llmtrace_analysis and the store's reader.
"""
