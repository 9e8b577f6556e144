"""`llmtrace watch`: the service that detects, writes incidents and alerts, and its health port.

The command line starts it, nothing else imports it.
"""
