"""All parts as processes: the plan, starting and watching them, stopping with whoever started them.

The root command, the demo and the served parts import it; it imports config.
"""
