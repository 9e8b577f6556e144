"""The HTTP endpoints of reading and administration; OTLP's own are in `ingest`.

The app imports it, nothing else does.
"""
