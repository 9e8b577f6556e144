"""Commands that run the detectors on a series of one's own.

The root command imports it; it imports the commands' common parts and llmtrace_analysis.detect.
"""
