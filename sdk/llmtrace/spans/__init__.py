"""What a span carries and which spans count: context attributes, retries, other tracers, sampling.

Delivery, redaction, capture and the API import it; it knows attribute names and reports errors, nothing else.
"""
