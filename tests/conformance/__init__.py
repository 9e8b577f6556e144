"""Real emitters against a loopback replay of recorded answers: what the store makes of what they tell."""
