"""What computes answers, behind one interface: admission, circuit breaker, and the engines themselves.

Serving and batches import `interface`, telemetry its types, the app the engines; it imports protocol,
settings and the demo's models.
"""
