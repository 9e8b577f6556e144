"""Programs that run in an emitter's own environment; they import nothing of ours."""
