"""The wire formats: from the JSON of a provider's API to span attributes, one folder or module a provider.

Pure functions without input or output; capture imports the registry and what all formats share, and nothing
here imports capture.
"""
