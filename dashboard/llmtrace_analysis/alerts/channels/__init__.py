"""The ways to reach a receiver, one module each, and what guards the addresses that they are sent to.

The watch makes them and delivery uses them; it imports settings and messages.
"""
