"""The dashboard: Streamlit's pages over what llmtrace_analysis reads. Nothing else of ours needs Streamlit.

The command line reads `settings` and starts `server`; nothing imports the rest.
"""
