"""One answer as it is made: by the engine, choice by choice, or as embeddings.

Serving imports it; it imports telemetry, the engine's interface and protocol.
"""
