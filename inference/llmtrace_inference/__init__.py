"""llmtrace's bundled inference service: an OpenAI-compatible server that traces itself from the inside."""
