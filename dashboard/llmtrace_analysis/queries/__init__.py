"""Every number on a page: one named SQL text, bound parameters, one typed function.

Cost, the dashboard and the command line import it; it imports the collector's pricing.
"""
