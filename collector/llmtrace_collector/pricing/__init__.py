"""What a call costs: the formula, price lists, discounts, sums with prices. Pure functions and SQL text.

The store, accounting, the API and llmtrace_analysis import it; it imports nothing of ours.
"""
