"""Plain helpers on the standard library that more than one of our packages uses.

They import nothing of ours; every package may import them.
"""
