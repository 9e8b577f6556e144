"""What finds an anomaly in a series of numbers: series, robust bands, tests. Pure functions over frames.

Detection imports it; it imports nothing.
"""
