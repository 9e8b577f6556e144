"""The pages, one script each. Streamlit executes the one that was asked for as `__main__`.

Only Streamlit runs them; their folder must not lie beside the script that Streamlit starts with.
"""
