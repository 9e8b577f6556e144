"""`python -m llmtrace.doctor`: whether this environment's programs are traced, and what to do where not.

It runs where the application runs, with the base install alone. `llmtrace doctor` has its checks of the way
to the collector from here. It stands above all else of the SDK; nothing else imports it.
"""
