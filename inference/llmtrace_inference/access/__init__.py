"""Who may call, how much, and who is blocked: keys, quotas, blocked users.

Serving, batches and the API import it; it imports protocol and settings.
"""
