"""Every number on a page: one named SQL text, bound parameters, one typed function."""
