"""How the store's tables come to be: numbered migrations, and the SQL that normalises what arrives.

The store imports it; ingest and the app import its redaction alone, the command line's administration its
dialects.
"""
