"""Notifying receivers of incidents: messages, an outbox, delivery off the watch's path, attempts recorded.

The watch imports it; it imports settings and the incident model, and no detection.
"""
