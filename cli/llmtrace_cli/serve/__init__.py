"""Each part alone in this process, as containers run them.

The root command imports it; it imports the parts inside functions.
"""
