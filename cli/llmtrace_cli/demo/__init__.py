"""The demo: the whole path on one command, with real calls.

The root command imports it; it imports stack and config.
"""
