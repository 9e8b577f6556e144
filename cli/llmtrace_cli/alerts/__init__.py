"""Commands about whom alerts are sent to.

The root command imports it; it imports the commands' common parts and llmtrace_analysis.alerts.
"""
