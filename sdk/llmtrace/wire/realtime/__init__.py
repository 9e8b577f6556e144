"""Calls over a WebSocket: what a message is, by a short look, and what a response's messages say.

May import what `llmtrace.wire` may; `llmtrace.capture.realtime` asks it.
"""
