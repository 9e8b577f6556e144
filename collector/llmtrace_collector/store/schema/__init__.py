"""How the store's tables come to be: the catalogue and description of all that there is, rendered from
`.sql` files, and what brings a store to it.

The store imports it; ingest and the app import its redaction alone, the command line's administration its
description.
"""
