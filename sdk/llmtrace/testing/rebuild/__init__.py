"""Recorded answers of models back to the bodies that providers send, whole and streamed.

The inverse of `llmtrace.wire`, a module for each format. `answers` picks the one that a request asks for;
only it is imported from outside.
"""
