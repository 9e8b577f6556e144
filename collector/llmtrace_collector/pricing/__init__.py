"""What a call costs: the formula, price lists, discounts, sums with prices. Pure functions and SQL text.

Everything above it and llmtrace_analysis may import it; it imports nothing of ours.
"""
