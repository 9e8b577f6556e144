"""What computes answers, behind one interface: admission, circuit breaker, and the engines themselves.

Serving imports `interface`, telemetry its types; it imports protocol and settings.
"""
