"""The command line: every part as a command, one settings file, all parts as processes of one stack.

Nothing imports it; it starts each part through its settings and its app.
"""
