"""The demo: the whole path on one command, with real calls."""
