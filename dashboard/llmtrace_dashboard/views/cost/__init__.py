"""The views of the Cost page, one module each.

The Cost page imports it; it imports the ui, settings and llmtrace_analysis.
"""
