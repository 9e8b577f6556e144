"""From finished spans to an acknowledged request: queue, encoder, sender, spool on disk.

Capture and the API import it; the inference service and the command line may too.
"""
