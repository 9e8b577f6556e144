"""The guard of reads: one SELECT over our tables, with functions that only compute.

What runs is the SQL regenerated from the parsed tree, with every name in quotes, never the received text, so
that nothing the parser did not understand reaches the engine. It is a convenience and not the wall between
projects: that is the engine's own. What the engine does not stop is stopped here alone: the function `file`,
`INTO OUTFILE`, and time zones by the name of a file.

The endpoints of reading import it; it imports the store's catalogue and clients, and no engine.
"""
