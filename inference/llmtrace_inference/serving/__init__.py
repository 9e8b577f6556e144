"""One request from its body to the last byte: checks, cache, engine, response.

Batches, the API and the app import it; it imports telemetry, access, the engine's interface, protocol,
safety and settings.
"""
