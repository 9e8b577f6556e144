"""Models inside the process: what their libraries are called with and answer, said as a provider's API.

The API's `observe_model` imports it, when it is first called.
"""
