"""What ClickHouse's clients ask besides queries: handshakes, what may be read here, settings, frames.

The query guard and the read endpoint import it; it imports neither.
"""
