"""Trains the classifier of `llmtrace.safety`: `python -m training.safety.train --help`."""
