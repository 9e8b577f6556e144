"""Adapters for other libraries' objects: each makes one object say what it does to the SDK.

They replace methods of that object alone or give it a listener, and import nothing of the library that it is
from; programs import them by name (`from llmtrace.adapters import redisvl`).
"""
