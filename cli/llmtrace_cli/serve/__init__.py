"""Each part alone in this process, as containers run them.

The root command imports it; it imports admin, stack, config, and the parts inside functions.
"""
