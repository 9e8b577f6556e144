"""Commands that run the detectors on series and texts of one's own.

The root command imports it; it imports the commands' parts, llmtrace_analysis.detect and llmtrace.safety.
"""
