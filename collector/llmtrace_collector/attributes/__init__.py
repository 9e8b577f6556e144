"""The one table of attributes: which columns spans have, where each dialect keeps them, how they are charged.

Plain data. Pricing, the store and whatever reads the store import it; it imports nothing of ours but the
names of attributes (`llmtrace.semconv`).
"""
