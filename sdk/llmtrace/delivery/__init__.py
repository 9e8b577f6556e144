"""From finished spans to the collector: queue → encode → post, on a thread of our own."""
