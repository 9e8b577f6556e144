"""One settings file for all parts: load, read, write, explain.

Every command may import it; it imports each part's settings and nothing that starts a part.
"""
