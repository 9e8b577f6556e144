"""How the store's tables come to be: numbered migrations, and the SQL that normalises what arrives.

Only the store imports it, and the collector's validation of what is redacted.
"""
