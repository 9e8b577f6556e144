"""From finished spans to an acknowledged request: queue, encoder, sender, spool on disk.

Capture, the API and `llmtrace.testing` import it; the inference service and the command line may too.
"""
