"""Who may do what: API keys and the check of a request's key.

Ingest, the API and the app import it; it imports settings and store.
"""
