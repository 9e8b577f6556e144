"""What a span carries and which spans count: context attributes, retries, other tracers, sampling.

Everything above it may import it; it knows attribute names and reports errors, nothing else.
"""
