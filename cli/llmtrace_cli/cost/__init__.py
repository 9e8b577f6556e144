"""`llmtrace cost`: reports, prices, plans and capacity on the command line.

The root command imports it; it imports admin, config and llmtrace_analysis.
"""
