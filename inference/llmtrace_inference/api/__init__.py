"""The HTTP routes: OpenAI's, batches, administration.

The app imports it, nothing else does.
"""
