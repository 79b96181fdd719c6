"""The doors: HTTP API, streams and pages. Nothing decides here; handlers ask the engine or the store and report."""
