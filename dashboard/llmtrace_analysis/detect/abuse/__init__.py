"""What finds abuse by a user: floods of requests, prompt injection. Pure functions over frames and texts.

Detection imports it; it imports llmtrace.safety, which has the patterns.
"""
