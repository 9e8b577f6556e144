"""Rules that people write: a number about what a search finds, compared with a threshold or with before.

The watch and the command line import it; it imports the store's search language and
`streaming.series_scorer`.
"""
