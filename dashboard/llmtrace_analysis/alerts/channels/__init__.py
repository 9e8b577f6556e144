"""The ways to reach a receiver, one module each, and what guards the addresses that they are sent to.

The outbox and delivery import it; it imports settings and messages.
"""
