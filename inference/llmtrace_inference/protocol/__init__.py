"""OpenAI's shapes: requests, errors, tool calls, as they go over the wire.

Everything above may import it; it knows no engine and no HTTP server.
"""
