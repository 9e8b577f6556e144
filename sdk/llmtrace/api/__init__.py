"""What a program calls: init to shutdown, observe and the kinds of steps, scores, budget checks.

The package's face and `llmtrace.testing` import it; nothing below it does.
"""
