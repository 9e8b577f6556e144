"""What a request did and when, and how that leaves the process: records, phases, spans, export, metrics, GPU.

Serving and the API import it; it imports the engine's types, protocol and settings.
"""
