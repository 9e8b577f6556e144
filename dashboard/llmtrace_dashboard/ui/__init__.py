"""What every page is made of: frame, filters, tables, charts, formats, state in the address, cached reads.

Views, pages and the server import it; it imports settings, llmtrace_analysis and the store's reader.
"""
