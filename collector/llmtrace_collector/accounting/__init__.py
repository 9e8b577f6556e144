"""Jobs over stored calls: the price book, budgets, and counting each call once.

The API and the app import it; it imports pricing, settings and store, and knows neither keys nor HTTP.
"""
