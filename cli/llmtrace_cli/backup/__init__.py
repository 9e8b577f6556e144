"""`llmtrace backup` and `llmtrace restore`: all parts on this machine into one folder, and back.

The command line and doctor may import this.
"""
