"""One module for each HTTP library that is hooked, and the hook on imports that installs them.

The API installs and removes them; they hand every request to the interceptor.
"""
