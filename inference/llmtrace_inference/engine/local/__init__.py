"""The engine of local models: transformers' continuous batching and its parts.

The app makes one and serving meets it through `engine.interface`; it may import the demo's models.
"""
