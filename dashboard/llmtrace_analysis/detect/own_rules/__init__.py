"""Rules that people write: a number about what a search finds, compared with a threshold or with before."""
