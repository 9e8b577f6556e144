"""Telling others: signed webhooks, delivered off the detection's path, each attempt recorded."""
