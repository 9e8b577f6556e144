"""Batches of requests that are answered later, at a lower price, and whose results are fetched together.

It may import the provider folders below it; the registry alone imports it.
"""
