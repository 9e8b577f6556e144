"""One request from its body to the last byte: checks, cache, engine, response.

Batches and the API import it; it imports telemetry, access, the engine's interface, protocol and safety.
"""
