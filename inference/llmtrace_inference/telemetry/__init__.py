"""What a request did and when, and how that leaves the process: records, phases, spans, export, metrics, GPU.

Serving, batches, the API and the app import it; it imports the engine's types, protocol and settings.
"""
