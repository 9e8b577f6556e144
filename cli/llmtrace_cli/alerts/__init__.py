"""Commands about alert rules and whom alerts are sent to.

The root command imports it; it imports the commands' common parts, llmtrace_analysis.alerts and
.detect.own_rules.
"""
