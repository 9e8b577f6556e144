"""The pages, one script each. Streamlit executes the one that was asked for as `__main__`.

Only Streamlit runs them; they import views, ui and llmtrace_analysis. Their folder must not lie beside the
script that Streamlit starts with.
"""
