"""Who may do what: API keys and the check of a request's key.

Ingest and the API import it; it imports settings and store.
"""
