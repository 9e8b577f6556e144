"""OpenAI's shapes: requests, errors, tool calls, as they go over the wire.

Everything above may import it; it imports nothing of ours and knows no engine.
"""
