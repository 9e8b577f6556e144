"""Batches: requests that are answered later, at a lower price, and whose answers are fetched together."""
