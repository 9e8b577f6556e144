"""Cohere's chat, embeddings and rerank APIs.

The registry imports it.
"""
