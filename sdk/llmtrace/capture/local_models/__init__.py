"""Models inside the process: what their libraries are called with and answer, said as a provider's API."""
