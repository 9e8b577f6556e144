"""Commands against a running collector: keys, quarantine, the store, export.

The root command and `cost` import it; it imports config.
"""
