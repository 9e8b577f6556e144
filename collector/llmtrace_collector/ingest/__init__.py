"""From an OTLP request to stored rows: decompress, validate, write-ahead log, writer, bisection.

The API and the app import it; it imports access, settings, metrics and store.
"""
