"""Detection: rules over what the store says, their findings, and the life of an incident.

The watch imports it; it imports the store's incident model.
"""
