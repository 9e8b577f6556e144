"""From received bytes to JSON events: server-sent events, AWS event streams, joining repeated events.

The formats and capture import it; it knows no provider.
"""
