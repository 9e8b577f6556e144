"""What the provider on loopback answers to each kind of call, in the words of each provider's API."""
