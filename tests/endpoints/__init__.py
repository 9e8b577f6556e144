"""What providers bill, endpoint by endpoint: each is called, and its span, usage and price are read back."""
