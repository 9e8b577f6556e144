"""The views of the Cost page, one module each."""
