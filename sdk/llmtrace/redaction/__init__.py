"""What must not leave the process: patterns of secrets and personal data, and what replaces their matches.

Delivery, capture and the API import it; the collector uses the same patterns.
"""
