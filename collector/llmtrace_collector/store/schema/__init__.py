"""How the store's tables come to be: numbered migrations, and the SQL that normalises what arrives.

The store imports it; intake and the app import its redaction alone.
"""
