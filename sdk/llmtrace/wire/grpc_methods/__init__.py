"""Methods of gRPC that are calls of models or searches, in the words of the same API over HTTP.

The call of gRPC and its hooks, in `llmtrace.capture`, import it.
"""
