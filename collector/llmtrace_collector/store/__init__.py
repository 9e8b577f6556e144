"""The store: one ClickHouse schema in two homes, embedded and as a server, and who may read what in it.

Readers outside the collector import `store.reader` and `store.incident` alone; commands that administer or
serve a store may import the rest.
"""
