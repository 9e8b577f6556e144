"""The dashboard as a server, and the script that Streamlit runs for each visitor.

The command line starts it; it imports ui and settings.
"""
