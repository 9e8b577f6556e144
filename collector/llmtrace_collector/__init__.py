"""The collector: OTLP comes in, waits in a write-ahead log, is stored in ClickHouse and read from there.

The command line starts `app` and administers the store; readers may import `store.reader` and
`store.incident`, the analysis `pricing` too.
"""
