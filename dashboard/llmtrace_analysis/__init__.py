"""What reads the store and needs no browser: queries, cost, detection, alerts, the watch.

The dashboard and the command line import it; it imports neither, and no Streamlit.
"""
