"""What ClickHouse's clients ask besides queries: handshakes, what may be read here, settings, frames."""
