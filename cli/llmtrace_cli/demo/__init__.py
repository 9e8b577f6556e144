"""The demo: the whole path on one command, with real calls.

The root command imports it; it imports stack, config, the SDK, settings of parts and the store's reader.
"""
