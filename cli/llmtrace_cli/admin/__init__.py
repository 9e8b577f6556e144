"""Commands against a running collector: keys, quarantine, the store, export.

The root command and `serve` import it; it imports config and the collector's store.
"""
