"""Watching: kopf, the handlers of its events, and resyncs."""
