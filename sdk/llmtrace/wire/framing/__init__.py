"""From received bytes to JSON events: server-sent events, AWS event streams, joining repeated events.

The formats import it; it knows no provider.
"""
