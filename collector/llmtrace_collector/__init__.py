"""The collector: takes OTLP in, keeps it in a log on disk, stores it in ClickHouse, and serves what reads it.

The command line starts `app`; readers may import `store.reader`, `store.incident` and `pricing`.
"""
