"""From a hooked HTTP request to a span: which request is a call of a model, its lifecycle, its stream.

The API starts it; it imports delivery, the wire formats and what lies below.
"""
