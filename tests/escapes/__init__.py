"""Texts that try to get at what is not the reader's, and honest ones, against both homes of the store."""
