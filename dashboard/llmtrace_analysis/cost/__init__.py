"""Cost beyond the page: reports, waste, forecast, what-if, reserved capacity, invoices, FOCUS.

Readers run one SELECT over `priced_usage`; everything else is pure functions over
frames. Amounts are USD; what has no price is NaN in a frame and counted beside it, never 0.

The dashboard and the command line import it; it imports queries, settings and the collector's pricing.
"""
