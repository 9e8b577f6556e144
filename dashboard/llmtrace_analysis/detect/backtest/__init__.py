"""What the rules would have opened on the stored history, under settings that may not be those in effect.

It reads and writes nothing. The command line imports it; it imports the rules' own pure functions.
"""
