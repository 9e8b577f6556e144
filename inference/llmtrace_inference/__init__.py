"""llmtrace's bundled inference service: an OpenAI-compatible server that traces itself from the inside.

The command line starts `app`; content checks of one's own import `safety`.
"""
