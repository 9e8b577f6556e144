"""The pages, one file each. Streamlit executes the file that was asked for as `__main__`."""
