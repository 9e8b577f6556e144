"""What spending could be: forecast, reserved capacity, limits, waste, other models and prices.

The dashboard and the command line import it; it imports queries and the reports beside it.
"""
