"""What finds an anomaly in a series of numbers: series, robust bands, tests. Pure functions over frames.

The rules of detection import it.
"""
