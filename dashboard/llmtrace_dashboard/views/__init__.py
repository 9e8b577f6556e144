"""Large parts of pages: a trace, an incident, the views of the Cost page.

Pages import it; it imports the ui, settings and llmtrace_analysis.
"""
