"""Hearth: scale-to-zero LLM serving for a few accelerators."""
